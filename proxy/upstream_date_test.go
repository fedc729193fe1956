package proxy

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// WeChat is asked what time it is where the Date of an answer is another, at most once in five
// seconds, and also after our own clock was set back.
func TestCheckDate(t *testing.T) {
	t.Parallel()
	src := platform()
	var mu sync.Mutex
	// Deadlines are made of it: it is never behind the machine's.
	ours, date, age := time.Now().Add(2*time.Hour), src.Now(), ""
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		if age != "" {
			w.Header().Set("Age", age)
		}
	}))
	defer up.Close()
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return ours
	}
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}, Now: now})
	f := func(name string, later, off time.Duration, cached string, calls, want int) {
		t.Helper()
		mu.Lock()
		ours, date, age = ours.Add(later), src.Now().Add(off), cached
		mu.Unlock()
		before := src.probes.Load()
		for range calls {
			if got := s.call(t, "GET", "/cgi-bin/menu/get", "", "X-Wechat-Appid: "+merchant); got.status != 200 {
				t.Fatalf("%s: %d %s", name, got.status, got.body)
			}
		}
		if n := src.probes.Load() - before; int(n) != want {
			t.Errorf("%s: WeChat is to be probed %d times, want %d", name, n, want)
		}
	}
	f("the same time", 0, 0, "", 3, 0)
	f("too soon", time.Second, time.Minute, "", 3, 0)
	f("behind", 10*time.Second, -time.Minute, "", 3, 1)
	f("ahead", 10*time.Second, time.Minute, "", 3, 1)
	f("a little", 10*time.Second, 9*time.Second, "", 3, 0)
	f("cached", 10*time.Second, -time.Minute, "60", 3, 0)
	f("set back", -time.Hour, time.Minute, "", 3, 1)
}

// A call that meets no answer has WeChat probed.
func TestNoAnswer_HasWeChatProbed(t *testing.T) {
	t.Parallel()
	src := platform()
	up := httptest.NewServer(http.NotFoundHandler())
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	s.call(t, "GET", "/cgi-bin/menu/get", "", "X-Wechat-Appid: "+merchant)
	src.probes.Store(0)
	up.Close()
	got := s.call(t, "POST", "/cgi-bin/menu/create", "{}", "X-Wechat-Appid: "+merchant)
	if got.status != 502 || src.probes.Load() != 1 {
		t.Errorf("%d %s, and WeChat is to be probed %d times, want once", got.status, got.body, src.probes.Load())
	}
}
