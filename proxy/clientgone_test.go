package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// connPair returns both ends of a connection: the sidecar's and the app's.
func connPair(t testing.TB, network string) (ours, apps net.Conn) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if apps, err = net.Dial(network, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); apps.Close() })
	return ours, apps
}

func TestHasLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("this system cannot tell")
	}
	closes := func(c net.Conn) { c.Close() }
	halfCloses := func(c net.Conn) { c.(interface{ CloseWrite() error }).CloseWrite() }
	sends := func(c net.Conn) { io.WriteString(c, "GET /next") }
	f := func(name, network string, wrap func(net.Conn) net.Conn, does []func(net.Conn), want bool) {
		t.Helper()
		ours, apps := connPair(t, network)
		ours = wrap(ours)
		if appClosed(ours) {
			t.Errorf("%s, %s: left at once", network, name)
		}
		for _, one := range does {
			one(apps)
		}
		got := appClosed(ours)
		// What the other end did may take a moment to arrive.
		for end := time.Now().Add(10 * time.Second); want && !got && time.Now().Before(end); got = appClosed(ours) {
			runtime.Gosched()
		}
		if got != want && runtime.GOOS == "linux" {
			t.Errorf("%s, %s: left = %v, want %v", network, name, got, want)
		}
	}
	plain := func(c net.Conn) net.Conn { return &appConn{Conn: c} }
	secure := func(c net.Conn) net.Conn { return &appConn{Conn: tls.Server(c, &tls.Config{})} }
	inside := func(c net.Conn) net.Conn {
		return &appConn{Conn: &appTLSConn{Conn: tls.Server(&interceptedConn{raw: c}, &tls.Config{})}}
	}
	for _, network := range []string{"tcp", "unix"} {
		f("stays", network, plain, nil, false)
		f("sends", network, plain, []func(net.Conn){sends}, false)
		f("closes", network, plain, []func(net.Conn){closes}, true)
		f("closes its direction", network, plain, []func(net.Conn){halfCloses}, true)
		f("sends and closes", network, plain, []func(net.Conn){sends, closes}, true)
		f("closes TLS", network, secure, []func(net.Conn){sends, closes}, true)
		f("closes inside a CONNECT", network, inside, []func(net.Conn){sends, closes}, true)
	}
	f("resets", "tcp", plain, []func(net.Conn){reset, closes}, true)
	if appClosed(&appConn{Conn: &fakeApp{}}) {
		t.Error("a connection without a socket left")
	}
}

// An app that leaves while WeChat has not answered ends the upstream's connection:
// one call, no other attempt, no failure of the upstream's, and WeChat is not probed.
func TestClientGone_WhileWaiting(t *testing.T) {
	t.Parallel()
	leaves := func(c net.Conn) { c.Close() }
	f := func(name, request string, leave func(net.Conn)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			waits, ended := make(chan struct{}), make(chan error, 1)
			up := newRaw(t, func(_ int, _ net.Conn, br *bufio.Reader) {
				if _, _, err := readRequest(br); err != nil {
					t.Error(err)
				}
				close(waits)
				_, err := br.ReadByte()
				ended <- err
			})
			m, src := metrics.New("test"), platform()
			s := start(t, Options{Source: src, Metrics: m, DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url, Timeout: time.Hour}})
			app, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(app, request); err != nil {
				t.Fatal(err)
			}
			<-waits
			leave(app)
			if err := <-ended; !errors.Is(err, io.EOF) {
				t.Errorf("the upstream saw %v, want the end", err)
			}
			app.Close()
			for s.inflight.all.Load() > 0 {
				runtime.Gosched()
			}
			if n := up.conns.Load(); n != 1 {
				t.Errorf("%d upstream calls, want 1", n)
			}
			page := scrape(m)
			for _, want := range []string{`{family="other",result="client_gone"} 1`, `wxsidecar_app_errors_total{code="client_gone"} 1`} {
				if !strings.Contains(page, want) {
					t.Errorf("%s is not counted", want)
				}
			}
			if regexp.MustCompile(`\nwxsidecar_upstream_failures_total\{.*\} [1-9]`).MatchString(page) || s.upstream.hosts[0].failures.Load() != 0 {
				t.Error("it counts as a failure of the upstream")
			}
			if n := src.probes.Load(); n != 0 {
				t.Errorf("WeChat is to be probed %d times", n)
			}
		})
	}
	const head = " /x HTTP/1.1\r\nHost: localhost\r\n"
	f("GET", "GET"+head+"\r\n", leaves)
	f("POST", "POST"+head+"Content-Length: 2\r\n\r\nab", leaves)
	f("upload", fmt.Sprintf("POST%sContent-Length: %d\r\n\r\n%s", head, 200_000, strings.Repeat("u", 200_000)), leaves)
	f("with another call behind", "GET"+head+"\r\nGET"+head+"\r\n", leaves)
	f("resets", "GET"+head+"\r\n", func(c net.Conn) { reset(c); c.Close() })
}

func scrape(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// slowConn lets that many reads time out before it answers.
type slowConn struct {
	timedConn
	timeouts int
	reads    []time.Time
	onRead   func()
}

func (c *slowConn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }
func (c *slowConn) SetReadDeadline(t time.Time) error {
	c.reads = append(c.reads, t)
	return nil
}

func (c *slowConn) Read(p []byte) (int, error) {
	if c.timeouts > 0 {
		c.timeouts--
		c.onRead()
		return 0, os.ErrDeadlineExceeded
	}
	return copy(p, "x"), nil
}

// The wait for an answer is cut into slices that end no later than the timeout,
// and an app that stays gets an answer that takes many of them.
func TestConn_WaitsInSlices(t *testing.T) {
	f := func(timeout time.Duration, timeouts int, wantErr bool, want ...time.Duration) {
		t.Helper()
		begin := time.Unix(1000, 0)
		now := begin
		nc := &slowConn{timeouts: timeouts}
		c := newConn(nc, &host{}, func() time.Time { return now }, 0)
		ours, _ := connPair(t, "tcp")
		c.app = &appConn{Conn: ours}
		if err := c.setHeadDeadline(now, timeout); err != nil {
			t.Fatal(err)
		}
		nc.onRead = func() { now = nc.reads[len(nc.reads)-1] }
		_, err := c.Read(make([]byte, 1))
		if (err != nil) != wantErr || wantErr && !isTimeout(err) {
			t.Errorf("%v, %d timeouts: %v", timeout, timeouts, err)
		}
		var got []time.Duration
		for _, at := range nc.reads {
			got = append(got, at.Sub(begin))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, %d timeouts: read deadlines %v, want %v", timeout, timeouts, got, want)
		}
		if len(nc.deadlines) != 1 || nc.deadlines[0].Sub(begin) != timeout+timeout/10 {
			t.Errorf("%v: write deadlines %v", timeout, nc.deadlines)
		}
	}
	const s = time.Second
	f(30*s, 0, false, s)
	f(30*s, 3, false, s, 2*s, 3*s, 4*s)
	f(2500*time.Millisecond, 9, true, s, 2*s, 2500*time.Millisecond)
	f(300*time.Millisecond, 9, true, 300*time.Millisecond)
}
