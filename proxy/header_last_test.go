package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What a connection remembers of its last call's head says what the lines themselves say.
func TestLastHead_SaysWhatTheLinesSay(t *testing.T) {
	heads := []string{
		"Host: localhost\r\nX-Wechat-Appid: " + merchant + "\r\nA: b\r\n\r\n",
		"Host: localhost\r\nX-Wechat-Appid: " + merchant2 + "\r\nA: b\r\n\r\n",
		"Host: localhost\r\nX-Wechat-Appid: " + merchant + "\r\nA: c\r\n\r\n",
		"Host: localhost\r\n\r\n",
		"\r\n",
		"",
		"Host: localhost\r\nX-Wechat-Appid:\r\n\r\n",                        // refused
		"Host: localhost\r\nX-Wechat-Appid: a\r\nX-Wechat-Appid: a\r\n\r\n", // refused
		"Host: localhost\r\nConnection: a\r\nA: b\r\ntraceparent: " + traceparent + "\r\n\r\n",
		"Host: localhost\r\nOrigin: https://evil.example\r\nReferer: https://evil.example/\r\n\r\n",
		"Host: localhost\r\nLong: " + strings.Repeat("x", 2*lastHeadBytes) + "\r\n\r\n",
		"Host: localhost\r\nX-Wxsidecar-Key: k\r\nProxy-Authorization: Basic a\r\nX-Wechat-Component: " + component + "\r\n\r\n",
	}
	var last lastHead
	for _, first := range heads {
		for _, second := range heads {
			for _, raw := range []string{first, second, second} {
				f := last.read([]byte(raw))
				forward, h, want := readHead(nil, []byte(raw))
				if !reflect.DeepEqual(f, want) {
					t.Errorf("%q: %v, want %v", raw, f, want)
				}
				if want == nil && (string(last.forward) != string(forward) || !reflect.DeepEqual(last.head, h)) {
					t.Errorf("%q: %q %+v, want %q %+v", raw, last.forward, last.head, forward, h)
				}
			}
		}
	}
}

// A connection remembers no long lines, nor does a call that is pooled.
func TestLastHead_LongLines(t *testing.T) {
	s, _ := fakeServer(t, Options{})
	app := newAppConn(&fakeUpstream{}, time.Now, false)
	for length := lastHeadBytes - 100; length < lastHeadBytes+100; length++ {
		r := s.newRequest(app)
		raw := []byte("Host: localhost\r\nA: " + strings.Repeat("x", length) + "\r\n\r\n")
		last, f := r.readHead(raw)
		if f != nil || (last == &app.last) != (len(raw) <= lastHeadBytes) {
			t.Errorf("%d bytes: %v, of the connection's %t", len(raw), f, last == &app.last)
		}
		if s.finish(r); last != &app.last && len(last.lines) > 0 {
			t.Errorf("%d bytes are remembered beyond their call", len(last.lines))
		}
	}
	if kept := cap(app.last.lines) + cap(app.last.forward); kept > 4*lastHeadBytes {
		t.Errorf("%d bytes are kept", kept)
	}
}

// Lines that differ from call to call, short or long, cost a call no allocation either.
func TestForward_AllocationsOfDifferentHeads(t *testing.T) {
	s := benchServer(t)
	for _, length := range []int{1, 500, lastHeadBytes - 200, lastHeadBytes, 5000, 12_000} {
		var apps manyApps
		for i := range 4 {
			head := fmt.Appendf(nil, "GET%sRequest-Id: %d\r\nCookie: %s\r\n\r\n", appHead, i, strings.Repeat("x", length))
			apps.requests = append(apps.requests, head)
		}
		const calls = 500
		got := testing.AllocsPerRun(3, func() { apps.call(t, s, calls) }) / calls
		if got > 0.05 && !raceEnabled {
			t.Errorf("%d bytes: %.3f allocations for a call", length, got)
		}
	}
}

// oneConn makes calls on one connection, the lines of each as given. app is the sidecar's end of it.
type oneConn struct {
	net.Conn
	br  *bufio.Reader
	app *appConn
}

func dialOne(t *testing.T, s *sidecar) *oneConn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ours, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	app := newAppConn(theirs, s.now, false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.http.ServeConn(app) // however the test leaves it
	}()
	t.Cleanup(func() {
		ours.Close()
		<-done
	})
	return &oneConn{ours, bufio.NewReader(ours), app}
}

// call returns the status of a call and its body.
func (c *oneConn) call(t *testing.T, method, target, lines, body string) (int, string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\n%s\r\n%s", method, target, lines, body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Each call of a connection is served by what it says itself, whatever the one before said.
// Counted at WeChat.
func TestServe_CallsOfOneConnection(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.URL, r.Header.Get("A"), r.Header.Get("Traceparent"), body)
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Callers: []Caller{callerOf("shop", "key-of-shop")}})
	c := dialOne(t, s)
	const host, key = "Host: localhost\r\n", "X-Wxsidecar-Key: key-of-shop\r\n"
	of := func(appid string) string { return "X-Wechat-Appid: " + appid + "\r\n" }
	token := func(appid string) string { return tokenText(authorizerKey(appid), 1) }
	calls := int64(0)
	f := func(method, target, lines, body string, status int, want string) {
		t.Helper()
		got, text := c.call(t, method, target, lines, body)
		if status == http.StatusOK {
			calls++
		}
		if got != status || !strings.Contains(text, want) || up.calls.Load() != calls {
			t.Fatalf("%s %s %q: %d %q, want %d %q; WeChat has had %d calls, want %d", method, target, lines, got, text, status, want, up.calls.Load(), calls)
		}
	}
	const get, post = http.MethodGet, http.MethodPost
	for range 2 {
		for range 2 {
			f(get, "/a", host+key+of(merchant), "", 200, "/a?access_token="+token(merchant)+" ")
			f(get, "/b?x=1", host+key+of(merchant), "", 200, "/b?x=1&access_token="+token(merchant)+" ")
		}
		for range 2 {
			f(get, "/a", host+key+of(merchant2), "", 200, token(merchant2)+" ")
		}
		f(get, "/a", host+key+of(own), "", 200, "tok-account-"+own)
		f(get, "/a", host+key+of(merchant)+"A: b\r\n", "", 200, token(merchant)+" b ")
		f(get, "/a", host+key+of(merchant), "", 200, token(merchant)+"  ")
		f(post, "/a", host+key+of(merchant)+"Content-Length: 3\r\n", "one", 200, " one")
		f(post, "/a", host+key+of(merchant)+"Content-Length: 3\r\n", "two", 200, " two")
		f(get, "/a", host+key+of(merchant)+"traceparent: "+traceparent+"\r\n", "", 200, traceparent)
		f(get, "/a", host+key+of(merchant)+"traceparent: "+traceparent+"\r\n", "", 200, traceparent)
		f(get, "http://"+c.RemoteAddr().String()+"/a", "Host: 127.0.0.1\r\n"+key+of(merchant), "", 200, token(merchant)+"  ")
		for range 2 {
			f(get, "/a", host+of(merchant), "", 403, "serves only callers that it knows")
			f(get, "/a", host+key, "", 400, "")
			f(get, "/wx0123456789abcdef/a", host+key+of("wx0000000000000000"), "", 404, "")
		}
	}
	// The Host is looked at again where the target names another.
	f(get, "/a", host+key+of(merchant), "", 200, token(merchant))
	refused := func(target, lines string, want int) {
		t.Helper()
		f(get, "/a", host+key+of(merchant), "", 200, token(merchant))
		got, text := c.call(t, get, target, lines, "")
		if got != want || up.calls.Load() != calls {
			t.Errorf("%s %q: %d %q", target, lines, got, text)
		}
		c.Close()
		c = dialOne(t, s) // such a call ends its connection
	}
	refused("http://evil.example/a", host+key+of(merchant), 400)
	refused("http://localhost:1/a", host+key+of(merchant), 403)
	refused("/a", "Host: evil.example\r\n"+key+of(merchant), 403)
	refused("/a", key+of(merchant), 400)
	refused("/a", host+key+of(merchant)+"Origin: https://evil.example\r\n", 403)
	refused("/a", host+key+of(merchant)+of(merchant2), 400)
	refused("/a", host+key+of(merchant)+"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400)
}

// A trace that is made is each call's own, also where the lines are those of the call before.
func TestServe_MadeTracesOfOneConnection(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", r.Header.Values("Traceparent"))
	})
	s := start(t, Options{Source: platform(), MakeTraces: true, Upstream: UpstreamOptions{URL: up.URL}})
	c, seen := dialOne(t, s), map[string]bool{}
	for range 5 {
		_, text := c.call(t, http.MethodGet, "/a", "Host: localhost\r\n"+forMerchant()+"\r\n", "")
		if seen[text] || len(text) != traceparentLength+len(`[""]`) {
			t.Errorf("%s, after %v", text, seen)
		}
		seen[text] = true
	}
}

// The reading of a head that the connection knows already, beside BenchmarkStage_ReadHead.
func BenchmarkStage_ReadHeadAgain(b *testing.B) {
	_, raw, _ := strings.Cut(string(getRequest()), "\r\n")
	lines := []byte(raw)
	app := newAppConn(&fakeUpstream{}, time.Now, false)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if f := app.last.read(lines); f != nil {
			b.Fatal(f)
		}
	}
}
