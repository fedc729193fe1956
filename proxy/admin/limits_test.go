package admin_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// listen serves o and returns its address and how many connections there are.
func listen(t *testing.T, o admin.MetricsOptions) (addr string, open *atomic.Int64) {
	t.Helper()
	h, err := admin.NewMetricsHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config = admin.NewServer(h, nil)
	limit, open := s.Config.ConnState, &atomic.Int64{}
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
		if limit != nil {
			limit(c, state)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), open
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// get asks over a connection and returns the status; 0 if the connection ended.
func get(c net.Conn, path string) int {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// Whoever holds connections, silent, half a head sent, or with a call behind, keeps
// the kubelet out in no case.
func TestNewServer_ConnectionsAreBounded(t *testing.T) {
	addr, open := listen(t, admin.MetricsOptions{Status: &status{}})
	used := dial(t, addr)
	for i := range 3 * 256 {
		c := dial(t, addr)
		switch i % 3 {
		case 1:
			fmt.Fprint(c, "GET /livez HTTP/1.1\r\nHost:")
		case 2:
			if got := get(c, "/livez"); got != 200 {
				t.Fatalf("/livez over a new connection, with %d open: %d", open.Load(), got)
			}
		}
		// One that is used is not the one that has been quiet longest.
		if got := get(used, "/livez"); got != 200 {
			t.Fatalf("/livez over a connection in use, with %d open: %d", open.Load(), got)
		}
	}
	for open.Load() > 256 {
		runtime.Gosched()
	}
	if got := get(dial(t, addr), "/readyz"); got != 200 {
		t.Errorf("/readyz after a flood: %d", got)
	}
}

// A connection that is one too many ends the one that was quiet longest.
func TestNewServer_TheQuietestIsClosed(t *testing.T) {
	addr, _ := listen(t, admin.MetricsOptions{Status: &status{}})
	var all []net.Conn
	for range 256 {
		c := dial(t, addr)
		if got := get(c, "/livez"); got != 200 {
			t.Fatal(got)
		}
		all = append(all, c)
	}
	if got := get(all[0], "/livez"); got != 200 { // now the second is the quietest
		t.Fatal(got)
	}
	if got := get(dial(t, addr), "/livez"); got != 200 {
		t.Fatal(got)
	}
	if _, err := all[1].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the quietest: %v, want its end", err)
	}
	for i, c := range all {
		if i != 1 && get(c, "/livez") != 200 {
			t.Errorf("connection %d was closed", i)
		}
	}
}

// Scrapes are dear: few are made at once, and whoever asks beyond that is told so,
// and the pages of the kubelet are answered meanwhile.
func TestMetrics_ScrapesAtOnce(t *testing.T) {
	m := metrics.New("v1")
	began, end := make(chan struct{}), make(chan struct{})
	var under, most atomic.Int64
	m.KeyStates(func() *metrics.KeyCounts {
		n := under.Add(1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		began <- struct{}{}
		<-end
		under.Add(-1)
		return &metrics.KeyCounts{}
	})
	addr, _ := listen(t, admin.MetricsOptions{Status: &status{}, Metrics: m})
	const scrapes = 4
	var wg sync.WaitGroup
	for range scrapes {
		c := dial(t, addr)
		wg.Go(func() {
			if got := get(c, "/metrics"); got != 200 {
				t.Errorf("a scrape within the limit: %d", got)
			}
		})
		<-began
	}
	for range 50 {
		c := dial(t, addr)
		fmt.Fprint(c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 3))
		all, err := io.ReadAll(c) // until its end
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatal(err)
		}
		if text := string(all); !strings.HasPrefix(text, "HTTP/1.1 503 ") || strings.Count(text, "HTTP/1.1 ") != 1 ||
			!strings.Contains(text, "Retry-After: ") || !strings.Contains(text, "scrapes at once") {
			t.Fatalf("a scrape too many, and two behind it: %q; want one 503", text)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/tokenz"} {
		if got := get(dial(t, addr), path); got != 200 {
			t.Errorf("%s during scrapes: %d", path, got)
		}
	}
	close(end)
	wg.Wait()
	if most.Load() != scrapes {
		t.Errorf("%d scrapes at once, want %d", most.Load(), scrapes)
	}
	go func() { <-began }()
	if got := get(dial(t, addr), "/metrics"); got != 200 {
		t.Errorf("a scrape after that: %d", got)
	}
}
