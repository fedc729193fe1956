package push_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

func TestSetKeys(t *testing.T) {
	r := newRig(t)
	old, next := ticketPush(t), sealed(t, previousToken, previousKey, component, ticketXML(component), start)
	r.wantStatus(next, http.StatusForbidden)
	bad := []push.Component{{AppID: component, Keys: []push.Key{{Token: secret.New(token), EncodingAESKey: secret.New("short-s3cr3t")}}}, {AppID: "wx2"}}
	err := r.server.SetKeys(bad, nil)
	if err == nil || !containsAll(err.Error(), []string{component, "current keys", "encoding_aes_key", "wx2"}) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("SetKeys: %v", err)
	}
	bad[0] = currentKeys()
	bad[0].Keys = append(bad[0].Keys, push.Key{EncodingAESKey: secret.New("short-s3cr3t")})
	if err := r.server.SetKeys(bad[:1], nil); err == nil || !containsAll(err.Error(), []string{component, "previous keys", "encoding_aes_key"}) {
		t.Errorf("SetKeys with a bad previous key: %v", err)
	}
	r.wantSuccess(old)
	keys := push.Component{AppID: component, Keys: []push.Key{{Token: secret.New(previousToken), EncodingAESKey: secret.New(previousKey)}}}
	if err := r.server.SetKeys([]push.Component{keys}, nil); err != nil {
		t.Fatal(err)
	}
	r.wantStatus(old, http.StatusForbidden)
	r.wantSuccess(next)
	if err := r.server.SetKeys([]push.Component{keys, keys}, nil); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("SetKeys of one component twice: %v", err)
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

// exchange sends raw on a connection of its own and returns all that comes back. With
// half set, nothing is sent any more after it.
func (r *rig) exchange(raw string, half bool) string {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, raw)
	if half {
		err = errors.Join(err, conn.(*net.TCPConn).CloseWrite())
	}
	answer, readErr := io.ReadAll(conn)
	if err := errors.Join(err, readErr); err != nil {
		r.t.Errorf("%.60q: %v", raw, err)
	}
	return string(answer)
}

// oneRefusal is what leaves for whatever is wrong.
const oneRefusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// raw is a call as bytes, with more header lines.
func raw(c call, lines ...string) string {
	method := c.method
	if method == "" {
		method = http.MethodPost
	}
	path := c.path
	if path == "" {
		path = "/wechat/" + component + "/event"
	}
	return method + " " + path + "?" + c.query.Encode() + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

// Whatever is refused is answered alike and closed, and its bytes stay out of the log.
func TestServer_OneRefusal(t *testing.T) {
	r := newRig(t)
	good := ticketPush(t)
	length := "Content-Length: " + strconv.Itoa(len(good.body))
	f := func(name, text string) {
		t.Helper()
		if answer := r.exchange(text, false); answer != oneRefusal {
			t.Errorf("%s: answer %q", name, answer)
		}
	}
	f("not HTTP", "GET s3cr3t\r\n\r\n")
	f("TLS", "\x16\x03\x01s3cr3t")
	f("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	f("no colon", "POST /wechat/x/event HTTP/1.1\r\nHost: x\r\ns3cr3t no colon\r\n\r\n")
	f("no Host", "POST /wechat/x/event HTTP/1.1\r\n\r\n")
	f("a long head", "POST /?"+strings.Repeat("s3cr3t", 4000))
	f("another path", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	f("an odd address", "POST http://%zz/ HTTP/1.1\r\nHost: x\r\n\r\n")
	f("another method", raw(call{method: http.MethodGet, query: good.query}))
	f("two lengths", raw(good, length, length)+good.body)
	f("an unknown coding", raw(good, "Transfer-Encoding: gzip, chunked")+good.body)
	f("HTTP/1.0", strings.Replace(raw(changed(good, "nonce", "2"), length), "HTTP/1.1", "HTTP/1.0", 1)+good.body)
	f("forged", raw(changed(good, "nonce", "2"), length)+good.body)
	f("a chunk that is none", raw(good, "Transfer-Encoding: chunked")+"s3cr3t\r\n")
	r.wantCounted("none", "cut_off", 1)
	// What comes behind a refused request on its connection is not served.
	f("more behind", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"+raw(good, length)+good.body)
	if got := r.handler.got(); len(got) != 0 {
		t.Errorf("the handler got %+v", got)
	}
}

// What can be refused without the body is refused before any of it comes, and no 100
// Continue asks for it.
func TestServer_RefusesBeforeTheBody(t *testing.T) {
	r := newRig(t)
	good := ticketPush(t)
	f := func(name string, c call, lines ...string) {
		t.Helper()
		for _, expect := range []string{"X: y", "Expect: 100-continue"} {
			if answer := r.exchange(raw(c, append(lines, expect)...), false); answer != oneRefusal {
				t.Errorf("%s: answer %q", name, answer)
			}
		}
	}
	other := good
	other.path = "/wechat/wx7f00c0de00000009/event"
	f("unknown component", other, "Content-Length: 600")
	f("unknown component, in chunks", other, "Transfer-Encoding: chunked")
	f("no signature", call{}, "Content-Length: 600")
	f("two nonces", twice(good, "nonce"), "Content-Length: 600")
	f("old", sealed(t, token, aesKey, component, ticketXML(component), start.Add(-time.Hour)), "Content-Length: 600")
	f("too large", good, "Content-Length: 1048577")
	f("much too large", good, "Content-Length: 1000000000")
	r.wantCounted("none", "too_large", 4)
}

func TestServer_Continue(t *testing.T) {
	r := newRig(t)
	c := ticketPush(t)
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	want := func(text string) {
		t.Helper()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != text {
			t.Fatalf("%q, %v; want %q", got, err, text)
		}
	}
	const accepted = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nsuccess"
	length := "Content-Length: " + strconv.Itoa(len(c.body))
	send(raw(c, length, "Expect: 100-continue"))
	want("HTTP/1.1 100 Continue\r\n\r\n")
	send(c.body)
	want(accepted)
	// Who does not wait gets none. Three in one piece are three.
	send(strings.Repeat(raw(c, length)+c.body, 2) + "\r\n" + raw(c, length, "Expect: 100-continue") + c.body)
	want(accepted + accepted + accepted)
	send(strings.Replace(raw(c, length, "Connection: keep-alive"), "HTTP/1.1", "HTTP/1.0", 1) + c.body)
	want("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\nsuccess")
	send(strings.Replace(raw(c, length), "HTTP/1.1", "HTTP/1.0", 1) + c.body)
	want("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\nConnection: close\r\n\r\nsuccess")
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
}

// A body that breaks off is refused like any other push, and told.
func TestServer_BodyBreaksOff(t *testing.T) {
	c := ticketPush(t)
	for _, sent := range []int{0, 1, 99} {
		r := newRig(t)
		if answer := r.exchange(raw(c, "Content-Length: 600")+strings.Repeat("s3cr3t", sent), true); answer != oneRefusal {
			t.Errorf("answer %q", answer)
		}
		r.wantCounted("none", "cut_off", 1)
		r.wantLogged("level=WARN", "push refused", "cause=cut_off", component, "ended early")
		if told := r.handler.refused; len(told) != 1 || told[0] != component+" cut_off" {
			t.Errorf("the handler was told %q", told)
		}
	}
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

// What is sent behind the last push of a connection does not reset it: its sender
// might miss the answer.
func TestServer_MoreBehindTheLastPush(t *testing.T) {
	r := newRig(t)
	c := ticketPush(t)
	inChunks := raw(c, "Transfer-Encoding: chunked") + strconv.FormatInt(int64(len(c.body)), 16) + "\r\n" + c.body + "\r\n0\r\n"
	last := raw(c, "Connection: close", "Content-Length: "+strconv.Itoa(len(c.body))) + c.body
	for _, text := range []string{inChunks, last} {
		answer := r.exchange(text+"X-Trailer: "+strings.Repeat("x", 1<<20)+"\r\n\r\n", true)
		if !strings.HasSuffix(answer, "Connection: close\r\n\r\nsuccess") {
			t.Errorf("answer %q", answer)
		}
	}
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
