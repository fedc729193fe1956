package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/metrics"
)

func TestNew_Refuses(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q in it", err, want)
		}
	}
	src := platform()
	f(Options{}, "Source")
	f(Options{Source: src, Upstream: UpstreamOptions{URL: "api.weixin.qq.com"}}, "upstream.url")
	f(Options{Source: src, Callers: []Caller{{}}}, "callers[0].name")
	f(Options{Source: src, Callers: []Caller{callerOf("a", "1"), callerOf("a", "2")}}, "callers[1].name")
	f(Options{Source: src, Callers: []Caller{{Name: "a"}}}, "has no key")
	f(Options{Source: src, Callers: []Caller{callerOf("a", "1"), callerOf("b", "1")}}, "occurs twice")
	f(Options{Source: src, Callers: []Caller{{Name: "a", Allow: []string{"cgi-bin"}}}}, "must begin with /")
	f(Options{Source: src, Callers: []Caller{{Name: "a", Deny: []string{"/a*b"}}}}, "only at its end")
	f(Options{Source: src, Callers: []Caller{{Name: "a", Deny: []string{"//cgi-bin/x"}}}}, "one slash")
}

func TestServer_Hosts(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, AllowedHosts: []string{"Sidecar.internal"}})
	f := func(target, host, want string) {
		t.Helper()
		got := rawCall(t, s.addr, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nX-Wechat-Appid: %s\r\nConnection: close\r\n\r\n", target, host, merchant))
		status, rest, _ := strings.Cut(strings.TrimPrefix(got, "HTTP/1.1 "), " ")
		if want != status && !strings.Contains(rest, "X-Wxsidecar-Error: "+want) {
			t.Errorf("GET %s, Host %s: %q, want %s", target, host, got, want)
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST:7080", "127.0.0.1", "127.0.0.2:1", "[::1]:7080", "api.weixin.qq.com", "sh.api.weixin.qq.com:80", "sidecar.internal:7080"} {
		f("/x", host, "200")
	}
	for _, host := range []string{"evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost@evil", "mp.weixin.qq.com", "[::2]"} {
		f("/x", host, "forbidden_host")
	}
	f("/x", "a b", "bad_request")
	f("http://api.weixin.qq.com/x", "api.weixin.qq.com", "200")
	f("http://api.weixin.qq.com:80/x", "api.weixin.qq.com", "200")
	f("http://API.weixin.qq.com/x", "api.weixin.qq.com:80", "200")
	f("http://evil.example/x", "api.weixin.qq.com", "bad_request")
	f("http://evil.example/x", "evil.example", "forbidden_host")
	f("http://u:p@api.weixin.qq.com/x", "api.weixin.qq.com", "bad_request")
	f("https://api.weixin.qq.com/x", "api.weixin.qq.com", "200")
	f("https://sz.api.weixin.qq.com:443/x", "sz.api.weixin.qq.com", "200")
	f("https://evil.example/x", "api.weixin.qq.com", "bad_request")
	f("https://evil.example/x", "evil.example", "forbidden_host")
	f("https://mp.weixin.qq.com/x", "mp.weixin.qq.com", "forbidden_host")
	f("http://"+s.addr+"/x", s.addr, "200")
	f("https://"+s.addr+"/x", s.addr, "forbidden_host") // no TLS is spoken there
	f("//evil.example/x", "localhost", "200")           // a path of WeChat's, not a host
	f("//localhost/x", "evil.example", "forbidden_host")
}

func TestServer_Methods(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	f := func(line, want string) {
		t.Helper()
		got := rawCall(t, s.addr, line+"\r\nHost: localhost\r\nX-Wechat-Appid: "+merchant+"\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("%s: %q, want %s", line, got, want)
		}
	}
	f("PUT /x HTTP/1.1", "200")
	f("get /x HTTP/1.1", "400")
	f("TRACE /x HTTP/1.1", "400")
	f("OPTIONS * HTTP/1.1", "400")
	f("CONNECT api.weixin.qq.com:443 HTTP/1.1", "403")
	f("GET /x HTTP/1.2", "400")
	f("GET /x HTTP/2.0", "400")
	f("GET /x", "400")
	f("GET /x HTTP/1.0", "200")
}

func TestServer_Browsers(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	for _, h := range []string{"Origin: http://evil.example", "Sec-Fetch-Site: cross-site"} {
		if got := s.call(t, "GET", "/x", "", forMerchant(), h); got.status != 403 || got.fault() != "browser_refused" {
			t.Errorf("%s: %d %q", h, got.status, got.body)
		}
	}
	if up.calls.Load() != 0 {
		t.Error("a browser's call reached WeChat")
	}
}

func TestServer_UnixSocket(t *testing.T) {
	up := newWeChat(t, echo)
	s, err := New(Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	call := func(target, host string) string {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Wechat-Appid: %s\r\nConnection: close\r\n\r\n", target, host, merchant)
		b, _ := io.ReadAll(c)
		return string(b)
	}
	if got := call("/x", "whatever"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("any Host: %q", got)
	}
	if got := call("http://evil.example/x", "evil.example"); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("absolute form: %q", got)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServer_Panic(t *testing.T) {
	src := &panicking{source: platform()}
	up := newWeChat(t, echo)
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	src.panics = true
	got := s.call(t, "GET", "/x", "", forMerchant())
	if got.status != 500 || got.fault() != "internal" || !strings.Contains(s.logged.String(), "panicking") {
		t.Errorf("%d %q", got.status, got.body)
	}
	src.panics = false
	if got := s.call(t, "GET", "/x", "", forMerchant()); got.status != 200 {
		t.Errorf("after the panic: %d %q", got.status, got.body)
	}
	if n := s.inflight.all.Load(); n != 0 {
		t.Errorf("%d calls are still under way", n)
	}
}

type panicking struct {
	*source
	panics bool
}

func (p *panicking) Account(ctx context.Context, appid string, c broker.Choice) (broker.Account, error) {
	if p.panics {
		panic("in a test")
	}
	return p.source.Account(ctx, appid, c)
}

func TestServer_ShutdownDrains(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		echo(w, r)
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	answered := make(chan answer, 1)
	go func() { answered <- s.call(t, "GET", "/x", "", forMerchant()) }()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown with a call under way = %v, want the deadline's error", err)
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Shutdown(context.Background()) }()
	close(release)
	if got := <-answered; got.status != 200 {
		t.Errorf("the call under way got %d %q %v", got.status, got.body, got.err)
	}
	if err := <-drained; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("still accepting")
	}
}

func TestServer_Limits(t *testing.T) {
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		echo(w, r)
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Limits: Limits{MaxInflight: 3, MaxInflightPerAccount: 2}})
	answers := make(chan answer, 3)
	for _, appid := range []string{merchant, merchant} {
		go func() { answers <- s.call(t, "GET", "/x", "", "X-Wechat-Appid: "+appid) }()
		<-arrived
	}
	refused := func(appid, setting string) {
		t.Helper()
		got := s.call(t, "GET", "/x", "", "X-Wechat-Appid: "+appid)
		if got.status != 429 || got.fault() != "too_many_requests" || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, setting+")") {
			t.Errorf("%s: %d %q %v", appid, got.status, got.body, got.header)
		}
	}
	refused(merchant, "limits.max_inflight_per_account")
	go func() { answers <- s.call(t, "GET", "/x", "", "X-Wechat-Appid: "+merchant2) }()
	<-arrived
	refused(merchant2, "limits.max_inflight")
	close(release)
	for range 3 {
		if got := <-answers; got.status != 200 {
			t.Errorf("%d %q %v", got.status, got.body, got.err)
		}
	}
	if got := s.call(t, "GET", "/x", "", forMerchant()); got.status != 200 {
		t.Errorf("afterwards: %d %q", got.status, got.body)
	}
}

func TestServer_Metrics(t *testing.T) {
	m := metrics.New("test")
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cgi-bin/menu/get":
			io.WriteString(w, `{"errcode":45009}`)
		case "/cgi-bin/media/get":
			io.Copy(w, &pattern{n: 1 << 20})
		case "/cgi-bin/draft/get":
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, okAnswer)
		default:
			io.WriteString(w, okAnswer)
		}
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Metrics: m})
	s.call(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	s.call(t, "GET", "/cgi-bin/media/get", "", forMerchant())
	s.call(t, "GET", "/cgi-bin/draft/get", "", forMerchant())
	s.call(t, "GET", "/made/up/by/an/app", "", forMerchant())
	s.call(t, "GET", "/cgi-bin/menu/get", "")
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, one := range f.Metric {
			var labels []string
			for _, l := range one.Label {
				labels = append(labels, l.GetValue())
			}
			got[f.GetName()+" "+strings.Join(labels, " ")] = one.GetCounter().GetValue() + float64(one.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"wxsidecar_app_requests_total /cgi-bin/menu errcode": 1,
		"wxsidecar_app_requests_total /cgi-bin/media ok":     1,
		"wxsidecar_app_requests_total /cgi-bin/draft ok":     1,
		"wxsidecar_uninspected_answers_total ":               1,
		"wxsidecar_app_requests_total other ok":              1,
		"wxsidecar_app_requests_total /cgi-bin/menu refused": 1,
		"wxsidecar_app_request_duration_seconds ":            5,
		"wxsidecar_overhead_seconds ":                        5,
		"wxsidecar_upstream_errcode_total 45009":             1,
		"wxsidecar_quota_errcodes_total 45009 /cgi-bin/menu": 1,
		"wxsidecar_app_errors_total no_account":              1,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	// A family that was called has a series for the failure that is yet to come.
	for name, want := range map[string]bool{
		"wxsidecar_app_requests_total /cgi-bin/menu failed":  true,
		"wxsidecar_app_requests_total /cgi-bin/media failed": true,
		"wxsidecar_app_requests_total /cgi-bin/user failed":  false,
	} {
		if _, is := got[name]; is != want {
			t.Errorf("there is a series %s: %v", name, is)
		}
	}
}

func TestServer_HeadTooLarge(t *testing.T) {
	s := start(t, Options{Source: platform()})
	got := rawCall(t, s.addr, "GET /x HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("y", 20<<10)+"\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 431") || !strings.Contains(got, "X-Wxsidecar-Error: head_too_large") {
		t.Errorf("%q", got)
	}
}

// Connections are kept through refusals, and nothing of a refused call is read as
// the next one.
func TestServer_PipelinedAfterRefusal(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: localhost\r\nX-Wechat-Appid: " + merchant + "\r\n\r\n"
	got := rawCall(t, s.addr, fmt.Sprintf("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s%s", len(smuggled), smuggled, smuggled))
	if strings.Count(got, "/smuggled?") != 1 || strings.Count(got, "HTTP/1.1 400") != 1 {
		t.Errorf("%q", got)
	}
	if up.calls.Load() != 1 {
		t.Errorf("%d calls reached WeChat", up.calls.Load())
	}
}

func TestServer_RequestIDs(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	seen := map[string]bool{}
	for range 20 {
		got := s.call(t, "GET", "/x", "", forMerchant(), "X-Wxsidecar-Request-Id: mine")
		id := got.header.Get("X-Wxsidecar-Request-Id")
		if seen[id] || id == "mine" || id == "" {
			t.Errorf("request id %q", id)
		}
		seen[id] = true
	}
}

func TestServer_HTTP10StreamOfUnknownLength(t *testing.T) {
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		piece := strings.Repeat("z", 10_000)
		for range 30 {
			fmt.Fprintf(c, "%x\r\n%s\r\n", len(piece), piece)
		}
		io.WriteString(c, "0\r\n\r\n")
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	got := rawCall(t, s.addr, "GET /x HTTP/1.0\r\nHost: localhost\r\nX-Wechat-Appid: "+merchant+"\r\n\r\n")
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	if len(body) != 300_000 || !strings.Contains(head, "Content-Length: 300000") {
		t.Errorf("%d bytes after %q", len(body), head)
	}
}

// Before fasthttp refuses connections, in its own way, calls are refused in ours.
func TestServer_MoreConnectionsThanCalls(t *testing.T) {
	for _, limit := range []int{0, 1, DefaultMaxInflight, 50_000} {
		s, _ := fakeServer(t, Options{Limits: Limits{MaxInflight: limit}})
		if int64(s.http.Concurrency) <= s.inflight.max {
			t.Errorf("max_inflight %d: %d connections for %d calls", limit, s.http.Concurrency, s.inflight.max)
		}
	}
}

// Chunks mean nothing to HTTP/1.0: an answer of unknown length that is too long to
// be held is refused, not garbled.
func TestServer_HTTP10StreamTooLong(t *testing.T) {
	closed := make(chan struct{})
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		defer close(closed)
		readRequest(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		piece := strings.Repeat("z", 1<<20)
		for range 2 * http10BufferBytes >> 20 {
			if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(piece), piece); err != nil {
				return
			}
		}
		br.ReadByte() // until the sidecar closes
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	got := rawCall(t, s.addr, "GET /x HTTP/1.0\r\nHost: localhost\r\nX-Wechat-Appid: "+merchant+"\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "X-Wxsidecar-Error: answer_too_large\r\n") || len(got) > 1000 {
		t.Errorf("%d bytes: %.300q", len(got), got)
	}
	<-closed
}
