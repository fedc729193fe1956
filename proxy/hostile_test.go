package proxy

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// heads is an upstream that keeps the heads of the calls that it answers.
type heads struct {
	*rawUpstream
	mu   sync.Mutex
	seen []string
}

func newHeads(t *testing.T) *heads {
	h := &heads{}
	h.rawUpstream = newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			head, _, err := readRequest(br)
			if err != nil {
				return
			}
			h.mu.Lock()
			h.seen = append(h.seen, head)
			h.mu.Unlock()
			reply(c, okAnswer)
		}
	})
	return h
}

// take returns what came since the last time.
func (h *heads) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.seen
	h.seen = nil
	return seen
}

// What could be read in two ways, or leads elsewhere, is refused and nothing goes
// to WeChat.
func TestHostile_Refused(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url}})
	f := func(line, headers, want string) {
		t.Helper()
		// Where a request could be read in two ways, so could what follows it.
		got := rawCall(t, s.addr, line+" HTTP/1.1\r\n"+headers+"\r\nGET /next HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%.80q, %.80q: %.200q, want one %s", line, headers, got, want)
		}
		if seen := up.take(); len(seen) > 0 {
			t.Errorf("%.80q, %.80q: WeChat saw %q", line, headers, seen)
		}
	}
	const host = "Host: localhost\r\n"
	for _, path := range []string{
		"/cgi-bin/../x", "/cgi-bin/%2e%2e/x", "/cgi-bin/%252e%252e/x", "/cgi-bin%2ftoken", "/cgi-bin%5ctoken", "/cgi-bin\\token",
		"//cgi-bin/../token", "/cgi-bin//../token", "/cgi-bin;x/token", "/cgi-bin/token#x", "/cgi-bin/token%00", "/cgi-bin/%c0%ae%c0%ae/x",
		"/cgi-bin/token%0d%0aX:1", "/\xc0\xae", "/x?a=%0d%0aX:1", "/x?a=%00", "/x#access_token=1", "/wx0123456789abcdef//../x",
		"/x?access%5Ftoken=1", "/x?ACCESS_TOKEN=1", "/x?a=1;access_token=2", "/x?access_token[]=1", "/x?%61ccess_token=1", "/x?.access_token=1", "/x?+access_token=1", "/x?%20access_token=1",
		"*", "x", "//../x", "http://localhost//../x", "http://localhost/../x", "https://localhost/../x", "ftp://localhost/x", "localhost:80",
	} {
		f("GET "+path, host, "400")
	}
	f("GET http://evil.example/x", host, "400")
	f("GET http://evil.example/x", "Host: evil.example\r\n", "403")
	f("GET https://evil.example/x", host, "400")
	f("GET https://localhost/x", host, "403")
	f("GET http://u:p@api.weixin.qq.com/x", "Host: api.weixin.qq.com\r\n", "400")
	f("GET http://api.weixin.qq.com@evil.example/x", "Host: api.weixin.qq.com\r\n", "400")
	f("GET http://[fe80::1%25eth0]/x", "Host: [fe80::1%25eth0]\r\n", "403")
	f("GET http://[::1%25lo]/x", host, "400")
	for _, h := range []string{"evil.example", "api.weixin.qq.com.evil.example", "169.254.169.254", "[::ffff:10.0.0.1]", "localhost.", "0.0.0.0", "u@localhost"} {
		f("GET /x", "Host: "+h+"\r\n", "403")
	}
	for _, h := range []string{"a b", "localhost:x", "localhost/x"} {
		f("GET /x", "Host: "+h+"\r\n", "400")
	}
	for _, method := range []string{"get", "Get", "TRACE", "G-T", "GET1"} {
		f(method+" /x", host, "400")
	}
	f("OPTIONS *", host, "400")
	for _, line := range []string{"X: a\rb", "X: a\x00b", " X: folded", "X : 1", "X\x0b: 1", "X", ": 1", "Host: evil", "X_Wechat_Appid: " + merchant2, "x-wechat_component: " + component, "x_wxsidecar_key: k"} {
		f("GET /x", host+line+"\r\n", "400")
	}
	f("GET /x", host+"X: "+strings.Repeat("y", 64<<10)+"\r\n", "431")
	f("GET /"+strings.Repeat("y", 64<<10), host, "431")
	f("GET /x", host+strings.Repeat("X: y\r\n", 64<<10/6), "431")
}

// Headers that end here never go on, in no spelling, and not what Connection
// names.
func TestHostile_Headers(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	ends := []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Proxy-Authentication-Info",
		"TE", "Trailer", "Upgrade", "HTTP2-Settings", "Accept-Encoding", "X-Wxsidecar-Key", "X-Wxsidecar-Request-Id",
		"X-Wxsidecar-Error", "X-Wxsidecar-Replay", "X-Wxsidecar-Whatever-May-Come-In-Later-Versions",
	}
	names := map[string]bool{"x-wechat-appid": true, "x-wechat-component": true}
	for _, name := range ends {
		names[strings.ToLower(name)] = true
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.Replace(name, "-", "_", 1)} {
			got := rawCall(t, s.addr, fmt.Sprintf("GET /x HTTP/1.1\r\nHost: localhost\r\n%s: X-Hop\r\nX-Hop: 1\r\nX-Wechat-Appid: %s\r\n\r\n", spelled, merchant))
			for _, head := range up.take() {
				wantWithout(t, head, names)
			}
			imitates := strings.Contains(spelled, "_") && strings.HasPrefix(spelled, "X")
			if want := "HTTP/1.1 200"; !imitates && !strings.HasPrefix(got, want) || imitates && !strings.HasPrefix(got, "HTTP/1.1 400") {
				t.Errorf("%s: %.100q", spelled, got)
			}
		}
	}
	names["x-hop"] = true
	// What Connection names ends here, even where it is ours, and what frames the
	// body is written anew.
	rawCall(t, s.addr, "POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: X-Hop, X-Wechat-Appid\r\nConnection: Content-Length\r\nX-Hop: 1\r\nx-hop: 2\r\n"+
		"X-Wechat-Appid: "+merchant+"\r\nContent-Length: 3\r\n\r\nabc")
	seen := up.take()
	if len(seen) != 1 || !strings.Contains(seen[0], "\r\nContent-Length: 3\r\n") || !strings.Contains(seen[0], "access_token=tok-authorizer-"+merchant) {
		t.Fatalf("WeChat saw %q", seen)
	}
	wantWithout(t, seen[0], names)
}

// wantWithout wants none of the names in a head, but for the line that we write.
func wantWithout(t *testing.T, head string, names map[string]bool) {
	t.Helper()
	for line := range strings.SplitSeq(head, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		if names[strings.ReplaceAll(strings.ToLower(name), "_", "-")] && line != "Accept-Encoding: identity" {
			t.Errorf("WeChat saw %q in %q", line, head)
		}
	}
}

// Long and many-headed calls within the limit pass whole, and so do calls that
// come in one piece.
func TestHostile_Passes(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url}})
	var many, pipelined strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "X-%d: %d\r\n", i, i)
	}
	for i := range 20 {
		fmt.Fprintf(&pipelined, "POST /p%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", i)
	}
	f := func(name, request string, want ...string) {
		t.Helper()
		got := rawCall(t, s.addr, request)
		seen := up.take()
		if n := strings.Count(got, "HTTP/1.1 200 OK"); n != len(want) || len(seen) != len(want) {
			t.Fatalf("%s: %d good answers, %d calls, want %d: %.300q", name, n, len(seen), len(want), got)
		}
		for i, text := range want {
			if !strings.Contains(seen[i], text) {
				t.Errorf("%s: call %d was %.200q, want %q in it", name, i, seen[i], text)
			}
		}
	}
	long := "/" + strings.Repeat("y", 8<<10)
	f("8 KiB of path", "GET "+long+" HTTP/1.1\r\nHost: localhost\r\n\r\n", long+"?access_token=")
	f("8 KiB of query", "GET /x?q="+long+" HTTP/1.1\r\nHost: localhost\r\n\r\n", "q="+long+"&access_token=")
	f("200 headers", "GET /x HTTP/1.1\r\nHost: localhost\r\n"+many.String()+"\r\n", many.String())
	f("two tokens", "GET /x?access_token=a&b=c&access_token=d HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /x?b=c&access_token=tok-authorizer-"+merchant+"-1 ")
	f("IPv6", "GET http://[::1]:"+s.port()+"/x HTTP/1.1\r\nHost: [::1]:"+s.port()+"\r\n\r\n", "GET /x?")
	f("HTTP/1.0", "GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n", "GET /x?")
	var calls []string
	for i := range 20 {
		calls = append(calls, fmt.Sprintf("POST /p%d?", i))
	}
	f("pipelined", pipelined.String(), calls...)
}

// Who is refused and goes on sending, slowly, takes nobody's place.
func TestServer_RefusedUploadHoldsNothing(t *testing.T) {
	up := newWeChat(t, echo)
	m := metrics.New("test")
	s := start(t, Options{Source: platform(), Metrics: m, Limits: Limits{MaxInflight: 1}, Upstream: UpstreamOptions{URL: up.URL}})
	for path, code := range map[string]string{"/x": "no_account", "/cgi-bin/token": "body_too_large"} {
		app, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(app, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", path, 2<<20, strings.Repeat("u", 100_000))
		for !strings.Contains(scrape(m), `wxsidecar_app_errors_total{code="`+code+`"} 1`) {
			runtime.Gosched()
		}
		for s.inflight.all.Load() > 0 {
			runtime.Gosched()
		}
		if strings.Contains(s.logged.String(), code) {
			t.Errorf("%s: the place was held until the reading ended", code)
		}
		if got := s.call(t, "GET", "/x", "", forMerchant()); got.status != 200 || s.memory.used.Load() != 0 {
			t.Errorf("%s: another call: %d %q; %d bytes are held", code, got.status, got.body, s.memory.used.Load())
		}
		app.Close()
	}
}
