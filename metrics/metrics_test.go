package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// useAll calls each method once.
func useAll(m *metrics.Metrics) {
	m.AppRequests("other", "ok").Inc()
	m.AppRequestTime(20*time.Millisecond, 50*time.Microsecond)
	m.Replay("cured")
	m.UpstreamErrcode("/cgi-bin/menu", 40001)
	m.UpstreamErrcode("other", 123456)
	m.UpstreamTime("other").Observe(70 * time.Millisecond)
	m.CallerRequests("shop", "refused").Inc()
	m.CallerTime("shop").Observe(2 * time.Second)
	m.Inflight(func() int64 { return 7 })
	m.Limit("inflight", func() float64 { return 0.25 })
	m.ConfigRead(true, time.UnixMilli(1500))
	m.ConfigRead(false, time.UnixMilli(2500))
	m.QuotaErrcodes("other", 45009).Inc()
	m.UninspectedAnswer()
	m.Renewal("component", "renewed")
	m.KeyStates(func() *metrics.KeyCounts {
		return &metrics.KeyCounts{
			Keys:    []metrics.KeyCount{{Kind: "account", Label: "live", N: 3}},
			Refused: []metrics.Refused{{Kind: "account", Errcode: 40125, N: 2}, {Kind: "account", Errcode: 1, N: 3}, {Kind: "account", Errcode: 2, N: 4}},
			Budgets: []metrics.Budget{{Name: "forced_renewals", Kind: "account", Used: 0.5}}, Waiting: 4,
			Expiries: []metrics.Expiry{{Kind: "account", AppID: "wx1", At: time.Unix(60, 0)}, {Kind: "account", AppID: "wx3"}},
		}
	})
	m.Displaced("account")
	m.CacheRequest(true)
	m.CacheRequest(false)
	m.CacheRequest(false)
	m.StoreOperation("get", "ok")
	m.ClockSkew(-1500 * time.Millisecond)
	m.Unsaved(2)
	m.Paused(true)
	m.Reconciliation("error")
	m.TicketAge("wx1", func() (time.Duration, bool) { return time.Minute, true })
	m.TicketAge("wx2", func() (time.Duration, bool) { return 0, false })
	m.Push("authorized", "accepted")
	m.Push("notify_of_2031", "accepted")
	m.Push("", "forged")
}

func scrape(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestMetrics_Count(t *testing.T) {
	m := metrics.New("v1")
	useAll(m)
	got := scrape(m)
	for _, want := range []string{
		`wxsidecar_app_requests_total{family="other",result="ok"} 1`,
		`wxsidecar_app_request_duration_seconds_bucket{le="0.025"} 1`,
		`wxsidecar_overhead_seconds_bucket{le="5e-05"} 1`,
		`wxsidecar_replays_total{result="cured"} 1`,
		`wxsidecar_upstream_errcode_total{errcode="40001"} 1`,
		`wxsidecar_upstream_errcode_total{errcode="other"} 1`,
		`wxsidecar_quota_errcodes_total{errcode="45009",family="other"} 1`,
		`wxsidecar_uninspected_answers_total 1`,
		`wxsidecar_renewals_total{kind="component",result="renewed"} 1`,
		`wxsidecar_keys{kind="account",state="live"} 3`,
		`wxsidecar_keys_refused{errcode="40125",kind="account"} 2`,
		`wxsidecar_keys_refused{errcode="other",kind="account"} 7`,
		`wxsidecar_keys_refused{errcode="40013",kind="component"} 0`,
		`wxsidecar_daily_budget_used_ratio{budget="forced_renewals",kind="account"} 0.5`,
		`wxsidecar_waiting_requests 4`,
		`wxsidecar_token_expiry_timestamp_seconds{appid="wx1",kind="account"} 60`,
		`wxsidecar_token_expiry_timestamp_seconds{appid="wx3",kind="account"} 0`,
		`wxsidecar_family_errcodes_total{errcode="40001",family="/cgi-bin/menu"} 1`,
		`wxsidecar_upstream_request_duration_seconds_bucket{family="other",le="0.1"} 1`,
		`wxsidecar_caller_requests_total{caller="shop",result="refused"} 1`,
		`wxsidecar_caller_request_duration_seconds_sum{caller="shop"} 2`,
		`wxsidecar_inflight_requests 7`,
		`wxsidecar_limit_used_ratio{limit="inflight"} 0.25`,
		`wxsidecar_config_last_reload_successful 0`,
		`wxsidecar_config_last_reload_success_timestamp_seconds 1.5`,
		`wxsidecar_displaced_total{kind="account"} 1`,
		`wxsidecar_cache_requests_total{result="hit"} 1`,
		`wxsidecar_cache_requests_total{result="miss"} 2`,
		`wxsidecar_store_operations_total{op="get",result="ok"} 1`,
		`wxsidecar_clock_skew_seconds -1.5`,
		`wxsidecar_unsaved_tokens 2`,
		`wxsidecar_renewals_paused 1`,
		`wxsidecar_reconciliations_total{result="error"} 1`,
		`wxsidecar_ticket_age_seconds{component="wx1"} 60`,
		`wxsidecar_pushes_total{info_type="authorized",result="accepted"} 1`,
		`wxsidecar_pushes_total{info_type="other",result="accepted"} 1`,
		`wxsidecar_pushes_total{info_type="none",result="forged"} 1`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("the scrape has not %s", want)
		}
	}
	if strings.Contains(got, "wx2") || strings.Contains(got, "notify_of_2031") {
		t.Error("a ticket that is not there, or an InfoType that nobody knows, has a series")
	}
	m.Paused(false)
	m.TicketAge("wx1", nil)
	if got := scrape(m); strings.Contains(got, `component="wx1"`) || !strings.Contains(got, "\nwxsidecar_renewals_paused 0\n") {
		t.Error("what is over is still shown")
	}
}

func TestMetrics_NilDoesNothing(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("a method forgets that its receiver may be nil: %v", p)
		}
	}()
	useAll(nil)
	var c metrics.Counter
	c.Inc()
}
