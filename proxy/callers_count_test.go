package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// Who calls is counted by the names in the configuration, and the others as none.
func TestCallerCounters(t *testing.T) {
	up := newWeChat(t, echo)
	m := metrics.New("test")
	list := []Caller{callerOf("shop", "key-of-shop", "new-key-of-shop"), {Name: "mail", KeySHA256: keysOf("key-of-mail"), Deny: []string{"/cgi-bin/menu/*"}}}
	s := start(t, Options{Source: platform(), Metrics: m, Upstream: UpstreamOptions{URL: up.URL}, Callers: list})
	want := func(lines ...string) {
		t.Helper()
		got := scrape(m)
		for _, line := range lines {
			if !strings.Contains(got, "\nwxsidecar_caller_request"+line+"\n") {
				t.Errorf("no line wxsidecar_caller_request%s", line)
			}
		}
	}
	want(`s_total{caller="shop",result="ok"} 0`, `s_total{caller="mail",result="refused"} 0`, `s_total{caller="none",result="refused"} 0`)
	call := func(key string) answer {
		return s.call(t, "GET", "/cgi-bin/menu/get", "", forMerchant(), "X-Wxsidecar-Key: "+key)
	}
	for _, key := range []string{"key-of-shop", "new-key-of-shop", "key-of-mail", "nobodys-key"} {
		call(key)
	}
	want(`s_total{caller="shop",result="ok"} 2`, `s_total{caller="mail",result="refused"} 1`, `s_total{caller="none",result="refused"} 1`,
		`_duration_seconds_count{caller="shop"} 2`, `_duration_seconds_count{caller="none"} 1`)
	// A reload that takes a caller away and brings it back.
	for _, list := range [][]Caller{list[:1], list} {
		if err := s.SetCallers(list); err != nil {
			t.Fatal(err)
		}
	}
	call("key-of-mail")
	want(`s_total{caller="mail",result="refused"} 2`)
	if err := s.SetCallers(nil); err != nil {
		t.Fatal(err)
	}
	call("whatever")
	want(`s_total{caller="none",result="refused"} 1`, `s_total{caller="none",result="ok"} 0`)
}

// The time that WeChat takes, its errcodes and how full the limits are, seen by a call under
// way.
func TestMetrics_UpstreamAndLimits(t *testing.T) {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-goOn
		_, _ = io.WriteString(w, `{"errcode":40097,"errmsg":"bad"}`)
	})
	m := metrics.New("test")
	s := start(t, Options{
		Source: platform(), Metrics: m, Upstream: UpstreamOptions{URL: up.URL},
		Limits: Limits{MaxInflight: 4, MaxInflightPerAccount: 2, ReplayMemory: 100},
	})
	want := func(lines ...string) {
		t.Helper()
		got := scrape(m)
		for _, line := range lines {
			if !strings.Contains(got, "\nwxsidecar_"+line+"\n") {
				t.Errorf("no line wxsidecar_%s", line)
			}
		}
	}
	want(`limit_used_ratio{limit="inflight"} 0`, `limit_used_ratio{limit="account_inflight"} 0`, `limit_used_ratio{limit="replay_memory"} 0`, `inflight_requests 0`)
	done := make(chan answer)
	go func() { done <- s.call(t, "POST", "/cgi-bin/menu/create", strings.Repeat("x", 25), forMerchant()) }()
	<-arrived
	want(`limit_used_ratio{limit="inflight"} 0.25`, `limit_used_ratio{limit="account_inflight"} 0.5`, `limit_used_ratio{limit="replay_memory"} 0.25`, `inflight_requests 1`)
	close(goOn)
	if got := <-done; got.status != 200 {
		t.Fatalf("%+v", got)
	}
	want(`family_errcodes_total{errcode="40097",family="/cgi-bin/menu"} 1`, `upstream_errcode_total{errcode="40097"} 1`,
		`upstream_request_duration_seconds_count{family="/cgi-bin/menu"} 1`)
}

// The most series that there can be, whatever apps, WeChat and the configuration do. How many
// authorizers there are makes no difference: the broker's tests count its own with 100,000.
func TestMetrics_AtMost2000Series(t *testing.T) {
	m := metrics.New("test")
	s, _ := fakeServer(t, Options{})
	families := []string{"other"}
	for i := range 600 {
		families = append(families, fmt.Sprintf("/f/%d", i))
	}
	s.results = resultCounters{}
	s.results.init(m, families)
	s.byCaller.init(m)
	for i := range families {
		f := s.results.of(i)
		m.UpstreamErrcode(f.name, 40001)
		for errcode := range 200 {
			m.UpstreamErrcode(f.name, errcode)
		}
	}
	for i := range 50 {
		s.byCaller.of(fmt.Sprintf("caller-%d", i))
	}
	for i := range 8 { // of a platform with as many components
		m.TicketAge(fmt.Sprintf("wxc%d", i), func() (time.Duration, bool) { return time.Minute, true })
	}
	for _, limit := range []string{"inflight", "account_inflight", "replay_memory", "outbox", "push_signed", "push_unsigned", "messages"} {
		m.Limit(limit, func() float64 { return 0 })
	}
	m.OutboxStats(func() (int, int, time.Duration) { return 0, 0, 0 })
	m.KeyStates(func() *metrics.KeyCounts {
		c := &metrics.KeyCounts{}
		for i := range 60 { // as many as the broker makes, and some
			c.Keys = append(c.Keys, metrics.KeyCount{Kind: "authorizer", Label: fmt.Sprint(i)})
		}
		for i := range 1000 {
			c.Expiries = append(c.Expiries, metrics.Expiry{Kind: "account", AppID: fmt.Sprint(i)})
		}
		return c
	})
	n := 0
	for line := range strings.Lines(scrape(m)) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	t.Logf("%d series", n)
	if n > 2000 {
		t.Errorf("%d series, want at most 2000", n)
	}
}
