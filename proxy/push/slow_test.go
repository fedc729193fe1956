package push

import (
	"context"
	"io"
	"net"
	"slices"
	"strconv"
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

// serveAlone serves one connection in a bubble: the other side of it is write's. It
// returns how long the connection was held, and what was refused.
func serveAlone(t *testing.T, write func(net.Conn)) (time.Duration, []string) {
	t.Helper()
	s, told := newAlone(t)
	ours, theirs := net.Pipe()
	begun, gone := time.Now(), make(chan struct{})
	go func() {
		defer close(gone)
		defer theirs.Close()
		write(theirs)
	}()
	s.serveConn(s.conns.add(pipeConn{ours}))
	took := time.Since(begun)
	<-gone
	return took, told.causes
}

// newAlone returns a server with one component, and what its handler is told.
func newAlone(t *testing.T) (*Server, *refusals) {
	t.Helper()
	told := &refusals{}
	s, err := New(Options{Handler: told, Components: []Component{{AppID: "wx7f00c0de00000001", Keys: []Key{{
		Token: secret.New("t"), EncodingAESKey: secret.New(strings.Repeat("A", 43)),
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return s, told
}

// byBytes writes text, and then a byte each second.
func byBytes(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, text)
		for err == nil {
			time.Sleep(time.Second)
			_, err = c.Write([]byte("x"))
		}
	}
}

// Who sends slowly, or nothing, is cut off after five seconds, whatever still comes.
func TestServer_Slow(t *testing.T) {
	const line = "POST /wechat/wx7f00c0de00000001/event?msg_signature=x&nonce=1&timestamp="
	f := func(name string, write func(net.Conn), causes ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			took, told := serveAlone(t, write)
			if took != 5*time.Second {
				t.Errorf("%s: the connection was held for %s", name, took)
			}
			if !slices.Equal(told, causes) {
				t.Errorf("%s: the handler was told %q", name, told)
			}
		})
	}
	bubbleNow := strconv.FormatInt(946684800, 10) // when bubbles begin
	f("nothing", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	f("a head", byBytes("P"))
	f("a longer head", byBytes(line+strings.Repeat("1", 4<<10)))
	f("a body", byBytes(line+bubbleNow+" HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n"), "cut_off")
	f("a longer body", byBytes(line+bubbleNow+" HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"), "cut_off")
	f("a chunk", byBytes(line+bubbleNow+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"), "cut_off")
	f("empty lines", func(c net.Conn) {
		_, err := c.Write([]byte("\r\n"))
		for err == nil {
			time.Sleep(time.Second)
			_, err = c.Write([]byte("\r\n"))
		}
	})
}

// pipeConn takes answers that nobody reads.
type pipeConn struct{ net.Conn }

func (pipeConn) Write(b []byte) (int, error) { return len(b), nil }
