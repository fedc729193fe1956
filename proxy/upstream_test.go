package proxy

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRoundTrip_ReusesConnections(t *testing.T) {
	var conns atomic.Int64
	up := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	up.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	up.StartTLS()
	defer up.Close()
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL, RootCAs: roots}})
	for range 20 {
		if got := s.call(t, "GET", "/x", "", forMerchant()); got.status != 200 {
			t.Fatalf("%d %q", got.status, got.body)
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections for 20 calls", conns.Load())
	}
}

func TestRoundTrip_WrongCertificate(t *testing.T) {
	up := httptest.NewTLSServer(http.HandlerFunc(echo))
	defer up.Close()
	up.Config.ErrorLog = nil
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL, RootCAs: x509.NewCertPool()}})
	got := s.call(t, "POST", "/x", "b", forMerchant())
	if got.status != 502 || got.fault() != "upstream_unreachable" || !strings.Contains(got.body, "check upstream.url") {
		t.Errorf("%d %q", got.status, got.body)
	}
}

// nobody is where nothing listens. A port that was free a moment ago may be
// somebody's by now; the kernel gives nobody this one.
const nobody = "http://127.0.0.1:1"

func TestUpstream_Fallback(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: nobody, Fallback: []string{up.URL}}})
	for i := range 5 {
		// Nothing was sent to the first host, so a POST may go to the second.
		if got := s.call(t, "POST", "/x", "b", forMerchant()); got.status != 200 {
			t.Errorf("call %d: %d %q", i, got.status, got.body)
		}
	}
	if n := s.upstream.hosts[0].failures.Load(); n != hostFailures {
		t.Errorf("the first host was tried %d times, want %d", n, hostFailures)
	}
}

// Timeouts take a host out as failed connections do.
func TestUpstream_FallbackAfterTimeouts(t *testing.T) {
	first := newRaw(t, func(_ int, _ net.Conn, br *bufio.Reader) { readRequest(br); br.ReadByte() })
	second := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: first.url, Fallback: []string{second.URL}, Timeout: 50 * time.Millisecond}})
	for i := range hostFailures + 1 {
		want := 504
		if i == hostFailures {
			want = 200
			s.upstream.timeout = 30 * time.Second // of the other host, on a busy machine
		}
		if got := s.call(t, "POST", "/x", "b", forMerchant()); got.status != want {
			t.Errorf("call %d: %d %q, want %d", i, got.status, got.body, want)
		}
	}
	if first.conns.Load() != hostFailures || second.calls.Load() != 1 {
		t.Errorf("%d calls at the first host, %d at the second", first.conns.Load(), second.calls.Load())
	}
}

// A body that was not kept is never begun anew, not even where a kept connection
// turns out closed.
func TestRoundTrip_StaleConnectionAmidAnUpload(t *testing.T) {
	up := newRaw(t, func(n int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		reply(c, okAnswer)
		br.ReadString('\n') // the upload begins
		reset(c)
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	s.call(t, "POST", "/x", "b", forMerchant())
	got := s.call(t, "POST", "/x", strings.Repeat("u", 4<<20), forMerchant())
	if got.err == nil { // else the app was cut off amid sending
		wantUncertain(t, "", got, 504, codeBroken)
	}
	if up.conns.Load() != 1 {
		t.Errorf("%d connections, want 1", up.conns.Load())
	}
}

// A call that must not be sent twice goes over a connection that rested for less than
// ten seconds, or over a new one.
func TestUpstream_FreshConnections(t *testing.T) {
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	h := &host{}
	defer h.pool.close()
	f := func(method string, whole bool, idle time.Duration, want bool) {
		t.Helper()
		h.pool.put(newConn(&fakeUpstream{}, h, clock, 0), now)
		now = now.Add(idle)
		r := &request{requestHead: requestHead{method: []byte(method)}, body: body{whole: whole}}
		if got := h.idleConn(now, false, r.repeatable()) != nil; got != want {
			t.Errorf("%s, body kept %v, idle for %v: kept one %v, want %v", method, whole, idle, got, want)
		}
		h.pool.closeIdle()
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		for _, whole := range []bool{true, false} {
			f(method, whole, 10*time.Second-1, true)
			f(method, whole, 10*time.Second, false)
		}
	}
	for _, method := range []string{"GET", "HEAD"} {
		f(method, true, connIdle-1, true)
		f(method, true, connIdle, false)
		f(method, false, 10*time.Second, false)
	}
}

func TestHost_Health(t *testing.T) {
	h, now := &host{}, time.Unix(1000, 0)
	for i := range hostFailures {
		if !h.available(now) {
			t.Fatalf("out after %d failures", i)
		}
		if out := h.failed(now); out != (i == hostFailures-1) {
			t.Errorf("failure %d: out = %v", i, out)
		}
	}
	if h.available(now.Add(hostOut - 1)) {
		t.Error("available while it is out")
	}
	if h.status(now.Add(2*hostOut)).OutUntil.IsZero() || !h.status(now.Add(2*hostOut+1)).OutUntil.IsZero() {
		t.Error("a host that no call has asked lately is said to be out")
	}
	later := now.Add(hostOut)
	if !h.available(later) || h.available(later) {
		t.Error("want exactly one probe when the time is over")
	}
	h.succeeded()
	if !h.available(later) {
		t.Error("not available after a success")
	}
	for range 3 {
		for range hostFailures - 1 {
			h.failed(later)
		}
		h.succeeded()
	}
	if h.failed(later); !h.available(later) {
		t.Error("out after failures that were not in a row")
	}
}

func TestPool(t *testing.T) {
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	h := &host{}
	defer h.pool.close()
	conns := make([]*conn, 3)
	for i := range conns {
		conns[i] = newConn(&fakeUpstream{}, h, clock, 0)
		now = now.Add(time.Second)
		h.pool.put(conns[i], now)
	}
	var always time.Time
	if c := h.pool.get(now, always); c != conns[2] || !c.reused {
		t.Error("want the last used connection")
	}
	if c := h.pool.get(now.Add(2*time.Second), now.Add(time.Second)); c != nil {
		t.Error("got one that was not used of late")
	}
	if c := h.pool.get(now, always); c != conns[1] {
		t.Error("want the next one")
	}
	now = now.Add(connIdle)
	if c := h.pool.get(now, always); c != nil {
		t.Error("got one that waited too long")
	}
	old := newConn(&fakeUpstream{}, h, clock, 0)
	now = now.Add(connAge)
	if h.pool.put(old, now); h.pool.get(now, always) != nil {
		t.Error("got one that is too old")
	}
}

func TestPool_Sweep(t *testing.T) {
	now := time.Unix(1000, 0)
	h := &host{}
	defer h.pool.close()
	clock := func() time.Time { return now }
	first := newConn(&fakeUpstream{}, h, clock, 0)
	h.pool.put(first, now)
	now = now.Add(connIdle - 1)
	h.pool.put(newConn(&fakeUpstream{}, h, clock, 0), now)
	now = now.Add(1)
	h.pool.sweepIdle(clock)
	if n := len(h.pool.idle); n != 1 || h.pool.idle[0] == first {
		t.Errorf("%d connections are left, want the newer one", n)
	}
}

func TestNewHost_Refuses(t *testing.T) {
	for _, raw := range []string{"api.weixin.qq.com", "ftp://x", "https://x/path", "https://u:p@x", "https://x?a=secret", "://", "https://"} {
		_, err := newHost(raw, nil)
		if err == nil {
			t.Errorf("newHost(%q) was not refused", raw)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "u:p") {
			t.Errorf("newHost(%q): %v shows a secret", raw, err)
		}
	}
}

func TestUpstream_Defaults(t *testing.T) {
	f := func(o UpstreamOptions, want ...string) {
		t.Helper()
		u, err := newUpstream(o, t.Context(), time.Now, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, h := range u.hosts {
			names = append(names, h.name)
		}
		if strings.Join(names, " ") != strings.Join(want, " ") {
			t.Errorf("%+v: hosts %v, want %v", o, names, want)
		}
	}
	f(UpstreamOptions{}, "api.weixin.qq.com", "api2.weixin.qq.com")
	f(UpstreamOptions{URL: "https://sh.api.weixin.qq.com"}, "sh.api.weixin.qq.com")
	f(UpstreamOptions{URL: "http://127.0.0.1:8", Fallback: []string{"http://h:9/"}}, "127.0.0.1:8", "h:9")
}

// When the app leaves in the middle of an answer, the upstream's connection ends.
func TestStream_AppLeaves(t *testing.T) {
	gone := make(chan error, 1)
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 1<<40)
		piece := make([]byte, 64<<10)
		for {
			if _, err := c.Write(piece); err != nil {
				gone <- err
				return
			}
		}
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp := s.open(ctx, t)
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	<-gone
}

// When the app leaves in the middle of an upload that is passed on as it comes, the
// upstream sees no whole one.
func TestUpload_AppLeaves(t *testing.T) {
	ended := make(chan error, 1)
	up := newRaw(t, func(_ int, _ net.Conn, br *bufio.Reader) {
		_, _, err := readRequest(br)
		ended <- err
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}, Limits: Limits{ReplayBody: 1000}})
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nX-Wechat-Appid: %s\r\nContent-Length: 1000000\r\n\r\n%s", merchant, strings.Repeat("x", 100_000))
	c.Close()
	if err := <-ended; err == nil {
		t.Error("the upstream saw a whole request")
	}
}

func TestIsTimeout(t *testing.T) {
	if !isTimeout(os.ErrDeadlineExceeded) || !isTimeout(fmt.Errorf("x: %w", context.DeadlineExceeded)) || isTimeout(io.EOF) {
		t.Error("timeouts are not told apart")
	}
}
