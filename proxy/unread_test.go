package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// hearsWords wants every one of some uploads of 20 MB through net/http's client to be
// answered with that code, which a reset would swallow.
func hearsWords(t *testing.T, s *sidecar, path, host, code string, headers ...string) {
	t.Helper()
	const size, times = 20 << 20, 5
	for i := range times {
		for _, length := range []int64{size, -1} {
			req, err := http.NewRequest("POST", s.url+path, &pattern{n: size})
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			if host != "" {
				req.Host = host
			}
			for _, h := range headers {
				name, value, _ := strings.Cut(h, ": ")
				req.Header.Set(name, value)
			}
			got := s.do(req)
			if got.err != nil || got.fault() != code || !strings.Contains(got.body, `"errmsg":"wxsidecar: `) {
				t.Errorf("%s %s, length %d, try %d: %d %q %v, want %s", host, path, length, i, got.status, got.body, got.err, code)
				return
			}
		}
	}
}

// Whatever a long upload is refused for, its app reads why.
func TestRefusal_OfUploadsIsHeard(t *testing.T) {
	t.Parallel()
	up := newUploads(t, 1)
	o := Options{
		Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Limits: Limits{MaxInflightPerAccount: 1 << 20},
		Callers: []Caller{{Name: "shop", KeySHA256: callerOf("shop", "key").KeySHA256, AppIDs: []string{merchant}}},
	}
	s := start(t, o)
	const key = "X-Wxsidecar-Key: key"
	hearsWords(t, s, "/x", "evil.example", "forbidden_host", key)
	hearsWords(t, s, "/x?from_appid=a&from_appid=b", "", "bad_request", key)
	hearsWords(t, s, "/a%20b", "", "bad_request", key)
	hearsWords(t, s, "/x", "", "browser_refused", key, "Origin: https://evil.example")
	hearsWords(t, s, "/x", "", "bad_request", key, "X_Wechat_Appid: "+merchant)
	hearsWords(t, s, "/x", "", "caller_refused", "X-Wxsidecar-Key: other")
	hearsWords(t, s, "/x", "", "caller_refused", key, "X-Wechat-Appid: "+merchant2)
	hearsWords(t, s, "/x", "", "no_account", key)
	hearsWords(t, s, "/x", "", "unknown_account", key, "X-Wechat-Appid: wxdeadbeefdeadbeef")
	hearsWords(t, s, "/cgi-bin/token?appid="+merchant, "", "body_too_large", key)
	s.inflight.max = -1
	hearsWords(t, s, "/x", "", "too_many_requests", key)
	s.inflight.max = DefaultMaxInflight
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d calls reached WeChat", n)
	}
}

// The same over raw connections that send all before they read: in HTTP/1.0, and with
// a head of which nobody knows where the request ends. No byte of these bodies is read
// as a call.
func TestRefusal_IsHeardByThoseWhoSendFirst(t *testing.T) {
	t.Parallel()
	up := newUploads(t, 1)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.URL}})
	const size = 20 << 20
	f := func(name, head, status string) {
		t.Helper()
		app, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		io.WriteString(app, head)
		if _, err := io.Copy(app, io.MultiReader(strings.NewReader("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"), &pattern{n: size})); err != nil {
			t.Errorf("%s: send: %v", name, err)
		}
		got, err := io.ReadAll(app)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 "+status+" ") || !strings.Contains(string(got), `"errmsg":"wxsidecar: `) ||
			strings.Count(string(got), "HTTP/1.1 ") != 1 || !strings.Contains(string(got), "Connection: close\r\n") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	const local = "Host: localhost\r\n"
	f("foreign host", fmt.Sprintf("POST /x HTTP/1.0\r\nHost: evil.example\r\nContent-Length: %d\r\n\r\n", size), "403")
	f("two framings", fmt.Sprintf("POST /x HTTP/1.1\r\n%sContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n", local, size), "400")
	f("folded", fmt.Sprintf("POST /x HTTP/1.1\r\n%sX: y\r\n z\r\nContent-Length: %d\r\n\r\n", local, size), "400")
	f("no HTTP", "nonsense\r\n\r\n", "400")
	f("a long head", "POST /x HTTP/1.1\r\n"+local+"X: "+strings.Repeat("y", 20<<10)+"\r\n\r\n", "431")
	f("a call behind", fmt.Sprintf("GET /a%%20b HTTP/1.1\r\n%s\r\n", local), "400")
	f("a bad chunk", "POST /x HTTP/1.1\r\n"+local+"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400")
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d calls reached WeChat", n)
	}
}

// waits opens a connection and sends a head that asks whether its body is wanted.
func waits(t *testing.T, s *sidecar, line, more string, size int) (net.Conn, *bufio.Reader) {
	t.Helper()
	app, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Close() })
	fmt.Fprintf(app, "POST %s HTTP/1.1\r\n%sContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", line, more, size)
	return app, bufio.NewReader(app)
}

const wantsBody = "HTTP/1.1 100 Continue\r\n\r\n"

// A client that waits to be asked for its body is asked only where no other check
// refuses the call, and is refused without being asked.
func TestExpect_RefusedWithoutTheBody(t *testing.T) {
	up := newUploads(t, 1)
	src := platform()
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}, Limits: Limits{MaxInflightPerAccount: 1}})
	f := func(line, more, code string) {
		t.Helper()
		_, br := waits(t, s, line, more, 20<<20)
		got, err := io.ReadAll(br) // the connection ends
		if err != nil || strings.HasPrefix(string(got), wantsBody) || !strings.Contains(string(got), "X-Wxsidecar-Error: "+code+"\r\n") ||
			!strings.Contains(string(got), "Connection: close\r\n") || !strings.Contains(string(got), "X-Wxsidecar-Request-Id: ") {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
	const local = "Host: localhost\r\n"
	f("/x", "Host: evil.example\r\n", "forbidden_host")
	f("/a%20b", local, "bad_request")
	f("/x", local+"Origin: https://evil.example\r\n", "browser_refused")
	f("/x", local, "no_account")
	f("/cgi-bin/token?appid="+merchant, local, "body_too_large")
	f("/x", local+"X-Wechat-Appid: wxdeadbeefdeadbeef\r\n", "unknown_account")
	slot, _ := s.inflight.acquireAccount(merchant, nil)
	f("/"+merchant+"/x", local, "too_many_requests")
	slot.release()
	if n := up.calls.Load(); n != 0 || s.inflight.all.Load() != 0 {
		t.Errorf("%d calls reached WeChat, %d are under way", n, s.inflight.all.Load())
	}
}

// A client that is asked sends its body, and the connection serves on. One that sends
// it unasked, though it is refused, hears that too.
func TestExpect_AskedAfterTheChecks(t *testing.T) {
	up := newUploads(t, 2)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.URL}})
	const size = 1 << 20
	app, br := waits(t, s, "/cgi-bin/media/upload", "Host: localhost\r\n", size)
	for range 2 {
		asked := make([]byte, len(wantsBody))
		if _, err := io.ReadFull(br, asked); err != nil || string(asked) != wantsBody {
			t.Fatalf("%q, %v", asked, err)
		}
		io.Copy(app, &pattern{n: size})
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(resp.Body); string(got) != `{"errcode":0,"got":""}` {
			t.Errorf("%d %q", resp.StatusCode, got)
		}
		fmt.Fprintf(app, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", size)
	}
	if n := up.calls.Load(); n != 3 {
		t.Errorf("%d calls reached WeChat, want 3: a stale one, its replay, and the next", n)
	}
	app, br = waits(t, s, "/x", "Host: evil.example\r\n", size)
	if _, err := io.Copy(app, &pattern{n: size}); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(br); err != nil || !strings.Contains(string(got), "forbidden_host") {
		t.Errorf("%q, %v", got, err)
	}
}

// net/http's client, which waits for the word when it is told to, is served likewise.
func TestExpect_NetHTTP(t *testing.T) {
	up := newUploads(t, 2)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	s.client.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour
	for _, chunked := range []bool{false, true} {
		got := s.upload(t, patternOf(1<<20), chunked, "Expect: 100-continue")
		if got.err != nil || got.body != `{"errcode":0,"got":""}` {
			t.Errorf("chunked %v: %d %q %v", chunked, got.status, got.body, got.err)
		}
	}
	req, err := http.NewRequest("POST", s.url+"/x", &pattern{n: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	if got := s.do(req); got.err != nil || got.fault() != "no_account" {
		t.Errorf("%d %q %v", got.status, got.body, got.err)
	}
}

// A panic while a client waits is answered like any other, and leaves nothing behind.
func TestExpect_Panic(t *testing.T) {
	src := &panicking{source: platform(), panics: true}
	s := start(t, Options{Source: src})
	_, br := waits(t, s, "/"+merchant+"/x", "Host: localhost\r\n", 1<<20)
	if got, err := io.ReadAll(br); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 500 ") {
		t.Errorf("%q, %v", got, err)
	}
}

// Where we end TLS the words are heard as well, and so they are where an app waits.
func TestRefusal_OverTLS(t *testing.T) {
	t.Parallel()
	config, roots := interception(t)
	s := start(t, Options{Source: platform(), Connect: ConnectOptions{TLS: config}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.ServeAliasTLS(ln) }() // ends with the shutdown of s
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ExpectContinueTimeout: time.Hour,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, ln.Addr().String())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.client, s.url = &http.Client{Transport: transport}, "https://api.weixin.qq.com"
	hearsWords(t, s, "/x", "evil.example", "forbidden_host")
	hearsWords(t, s, "/x", "", "no_account")
	hearsWords(t, s, "/x", "", "no_account", "Expect: 100-continue")
}
