package push

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

type refusals struct{ causes []string }

func (*refusals) HandlePush(context.Context, wechat.Push) error { return nil }
func (r *refusals) PushRefused(_, cause string)                 { r.causes = append(r.causes, cause) }
func (*refusals) Now() time.Time                                { return time.Now() }

// Who sends a body byte by byte is cut off after ten seconds, whatever still comes.
func TestServer_SlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := &refusals{}
		s, err := New(Options{Handler: told, Components: []Component{{AppID: "wx7f00c0de00000001", Keys: []Key{{
			Token: secret.New("t"), EncodingAESKey: secret.New(strings.Repeat("A", 43)),
		}}}}})
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		begun, gone := time.Now(), make(chan struct{})
		go func() {
			defer close(gone)
			defer theirs.Close()
			_, err := io.WriteString(theirs, "POST /wechat/wx7f00c0de00000001/event HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n")
			for err == nil && time.Since(begun) < time.Minute {
				time.Sleep(time.Second)
				_, err = theirs.Write([]byte("x"))
			}
		}()
		served := make(chan error, 1)
		go func() { served <- s.server.ServeConn(pipeConn{ours}) }()
		<-served
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("the connection was held for %s", took)
		}
		ours.Close()
		<-gone
		if len(told.causes) != 1 || told.causes[0] != "cut_off" {
			t.Errorf("the handler was told %q", told.causes)
		}
	})
}

// pipeConn takes answers that nobody reads.
type pipeConn struct{ net.Conn }

func (pipeConn) Write(b []byte) (int, error) { return len(b), nil }
