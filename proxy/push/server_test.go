package push_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

func TestSetComponents(t *testing.T) {
	r := newRig(t)
	old, next := ticketPush(t), sealed(t, previousToken, previousKey, component, ticketXML(component), start)
	r.wantStatus(next, http.StatusForbidden)
	bad := []push.Component{{AppID: component, Keys: []push.Key{{Token: secret.New(token), EncodingAESKey: secret.New("short-s3cr3t")}}}, {AppID: "wx2"}}
	err := r.server.SetComponents(bad)
	if err == nil || !containsAll(err.Error(), []string{component, "current keys", "encoding_aes_key", "wx2"}) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("SetComponents: %v", err)
	}
	bad[0] = currentKeys()
	bad[0].Keys = append(bad[0].Keys, push.Key{EncodingAESKey: secret.New("short-s3cr3t")})
	if err := r.server.SetComponents(bad[:1]); err == nil || !containsAll(err.Error(), []string{component, "previous keys", "encoding_aes_key"}) {
		t.Errorf("SetComponents with a bad previous key: %v", err)
	}
	r.wantSuccess(old)
	keys := push.Component{AppID: component, Keys: []push.Key{{Token: secret.New(previousToken), EncodingAESKey: secret.New(previousKey)}}}
	if err := r.server.SetComponents([]push.Component{keys}); err != nil {
		t.Fatal(err)
	}
	r.wantStatus(old, http.StatusForbidden)
	r.wantSuccess(next)
	if err := r.server.SetComponents([]push.Component{keys, keys}); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("SetComponents of one component twice: %v", err)
	}
}

func TestNew_Faults(t *testing.T) {
	f := func(o push.Options, want string) {
		t.Helper()
		if _, err := push.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v; want an error that says %q", err, want)
		}
	}
	f(push.Options{}, "Handler is nil")
	f(push.Options{Handler: &handler{}, Window: -1}, "Window is negative")
	f(push.Options{Handler: &handler{}, Components: []push.Component{{AppID: component}}}, "no push_token")
}

// What is not HTTP is answered by a bare status, and its bytes stay out of the log.
func TestServer_GarbageIsNotLogged(t *testing.T) {
	r := newRig(t)
	f := func(raw, want string) {
		t.Helper()
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, raw); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) || !strings.HasSuffix(string(answer), "\r\n\r\n") {
			t.Errorf("answer %q, %v; want the status %s alone", answer, err, want)
		}
	}
	f("GET s3cr3t\r\n\r\n", "400")
	f("POST /wechat/x/event HTTP/1.1\r\nHost: x\r\ns3cr3t no colon\r\n\r\n", "400")
	// Just the limit, so that no unread byte makes the kernel reset the connection.
	f(("POST /?" + strings.Repeat("s3cr3t", 4000))[:16<<10], "431")
	f("POST /wechat/"+component+"/event HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\ns3cr3t\r\n", "403")
	r.wantCounted("none", "cut_off", 1)
	// So long that reading it away is not worth the while. fasthttp calls us only
	// once it holds the first 8 KiB.
	f("POST /wechat/"+component+"/event HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"+strings.Repeat("s3cr3t..", 1<<10), "403")
	r.wantCounted("none", "too_large", 1)
}

// A short body that breaks off is refused like any other push, and told.
func TestServer_BodyBreaksOff(t *testing.T) {
	const path = "/wechat/" + component + "/event?timestamp=1"
	f := func(line string, sent int, want string) *rig {
		t.Helper()
		r := newRig(t)
		conn, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = io.WriteString(conn, line+" HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n"+strings.Repeat("s3cr3t", sent))
		if err := errors.Join(err, conn.(*net.TCPConn).CloseWrite()); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) || !strings.HasSuffix(string(answer), "\r\n\r\n") {
			t.Errorf("%s: answer %q, %v; want the status %s alone", line, answer, err, want)
		}
		return r
	}
	for _, sent := range []int{0, 1, 99} {
		r := f("POST "+path, sent, "403")
		r.wantCounted("none", "cut_off", 1)
		r.wantLogged("level=WARN", "push refused", "cause=cut_off", component, "ended early")
		if told := r.handler.refused; len(told) != 1 || told[0] != component+" cut_off" {
			t.Errorf("the handler was told %q", told)
		}
	}
	f("PUT "+path, 1, "405").wantCounted("none", "cut_off", 0)
	f("POST /other", 1, "404").wantCounted("none", "cut_off", 0)
	f("POST http://%zz/", 1, "400").wantCounted("none", "cut_off", 0)
}

func TestServer_ChunkedBody(t *testing.T) {
	r := newRig(t)
	c := ticketPush(t)
	send := func(body string) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, "http://"+r.address+"/wechat/"+component+"/event?"+c.query.Encode(), io.NopCloser(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	fill := msgcrypt.MaxEnvelope - len(c.body)
	if got := send(c.body + strings.Repeat(" ", fill)); got != http.StatusOK {
		t.Errorf("a chunked body of 1 MiB: %d", got)
	}
	if got := send(c.body + strings.Repeat(" ", fill+1)); got != http.StatusForbidden {
		t.Errorf("a chunked body of 1 MiB and 1: %d", got)
	}
	r.wantCounted("none", "too_large", 1)
}

func TestShutdown_WaitsForPush(t *testing.T) {
	r := newRig(t)
	entered, release := make(chan struct{}), make(chan struct{})
	r.handler.handle = func(context.Context, wechat.Push) error {
		close(entered)
		<-release
		return nil
	}
	c := ticketPush(t)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		r.wantSuccess(c)
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown with a push under way: %v", err)
	}
	close(release)
	<-answered
}

// A Shutdown that comes before the server serves stops it all the same.
func TestShutdown_BeforeServe(t *testing.T) {
	s, err := push.New(push.Options{Handler: &handler{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil { // which returns
		t.Error(err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}
