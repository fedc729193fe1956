package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// golden are all our metrics: name, type, labels. Dashboards and alert rules of
// strangers rest on them: change none, and add to docs/metrics.md what you add.
const golden = `
wxsidecar_app_errors_total counter code
wxsidecar_app_request_duration_seconds histogram
wxsidecar_app_requests_total counter family result
wxsidecar_authorization_pages_total counter page result
wxsidecar_build_info gauge goversion version
wxsidecar_cache_requests_total counter result
wxsidecar_caller_request_duration_seconds histogram caller
wxsidecar_caller_requests_total counter caller result
wxsidecar_clock_skew_seconds gauge
wxsidecar_config_last_reload_success_timestamp_seconds gauge
wxsidecar_config_last_reload_successful gauge
wxsidecar_daily_budget_used_ratio gauge budget kind
wxsidecar_displaced_total counter kind
wxsidecar_family_errcodes_total counter errcode family
wxsidecar_inflight_requests gauge
wxsidecar_keys gauge kind state
wxsidecar_keys_in_trouble gauge cause kind
wxsidecar_keys_refused gauge errcode kind
wxsidecar_leases_total counter result
wxsidecar_limit_used_ratio gauge limit
wxsidecar_list_items_skipped_total counter
wxsidecar_messages_alone_total counter
wxsidecar_messages_total counter msg_type result
wxsidecar_outbox_dead_letters gauge
wxsidecar_outbox_deliverer gauge
wxsidecar_outbox_deliveries_total counter result
wxsidecar_outbox_events_total counter result
wxsidecar_outbox_oldest_seconds gauge
wxsidecar_outbox_waiting gauge
wxsidecar_outside_renewals_total counter kind
wxsidecar_overhead_seconds histogram
wxsidecar_pushes_total counter info_type result
wxsidecar_quota_errcodes_total counter errcode family
wxsidecar_reconciliations_total counter result
wxsidecar_records_repaired_total counter
wxsidecar_renewals_paused gauge
wxsidecar_renewals_total counter kind result
wxsidecar_replays_total counter result
wxsidecar_store_operations_total counter op result
wxsidecar_store_up gauge
wxsidecar_ticket_age_seconds gauge component
wxsidecar_token_expiry_timestamp_seconds gauge appid kind
wxsidecar_uninspected_answers_total counter
wxsidecar_unsaved_tokens gauge
wxsidecar_upstream_dials_total counter result
wxsidecar_upstream_errcode_total counter errcode
wxsidecar_upstream_failures_total counter reason
wxsidecar_upstream_host_out_total counter
wxsidecar_upstream_redirects_total counter
wxsidecar_upstream_request_duration_seconds histogram family
wxsidecar_upstream_stale_connections_total counter
wxsidecar_waiting_requests gauge
`

// newFull returns metrics with those that need a source.
func newFull() *metrics.Metrics {
	m := metrics.New("v1.2.3")
	m.TicketAge("wx7f00c0de00000001", func() (time.Duration, bool) { return 90 * time.Second, true })
	m.Limit("inflight", func() float64 { return 0.5 })
	m.KeyStates(func() *metrics.KeyCounts {
		return &metrics.KeyCounts{
			Keys:     []metrics.KeyCount{{Kind: "component", Label: "live", N: 1}},
			Troubled: []metrics.KeyCount{{Kind: "component", Label: "misconfigured", N: 1}},
			Budgets:  []metrics.Budget{{Name: "forced_renewals", Kind: "component"}},
			Expiries: []metrics.Expiry{{Kind: "component", AppID: "wx7f00c0de00000001"}},
		}
	})
	m.OutboxStats(func() (int, int, time.Duration) { return 1, 2, time.Minute })
	return m
}

func ours(t *testing.T, m *metrics.Metrics) []*dto.MetricFamily {
	t.Helper()
	all, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), "wxsidecar_") })
}

func TestNames_Golden(t *testing.T) {
	var got strings.Builder
	for _, f := range ours(t, newFull()) {
		got.WriteString("\n" + f.GetName() + " " + strings.ToLower(f.GetType().String()))
		for _, l := range f.GetMetric()[0].GetLabel() {
			got.WriteString(" " + l.GetName())
		}
	}
	if d := cmp.Diff(strings.Split(golden, "\n"), strings.Split(got.String()+"\n", "\n")); d != "" {
		t.Errorf("names, types and labels (-want +got):\n%s", d)
	}
}

func TestNames_Lint(t *testing.T) {
	m := newFull()
	var names []string
	for _, f := range ours(t, m) {
		names = append(names, f.GetName())
		if !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("the help of %s is no sentence: %q", f.GetName(), f.GetHelp())
		}
	}
	problems, err := testutil.GatherAndLint(m.Gatherer(), names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What an operator finds before anything has happened. The age of a ticket and
// the states of keys are missing until there are such.
func TestNew_AllIsThereFromTheStart(t *testing.T) {
	w := httptest.NewRecorder()
	metrics.New("v1.2.3").Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`wxsidecar_app_requests_total{family="other",result="ok"} 0`,
		`wxsidecar_app_requests_total{family="other",result="client_gone"} 0`,
		`wxsidecar_app_errors_total{code="waiting_ticket"} 0`,
		`wxsidecar_app_errors_total{code="browser_refused"} 0`,
		`wxsidecar_quota_errcodes_total{errcode="45011",family="other"} 0`,
		`wxsidecar_upstream_dials_total{result="error"} 0`,
		`wxsidecar_upstream_failures_total{reason="upstream_timeout"} 0`,
		`wxsidecar_upstream_errcode_total{errcode="48001"} 0`,
		`wxsidecar_app_request_duration_seconds_count 0`,
		`wxsidecar_overhead_seconds_count 0`,
		`wxsidecar_replays_total{result="cured"} 0`,
		`wxsidecar_upstream_errcode_total{errcode="40001"} 0`,
		`wxsidecar_upstream_errcode_total{errcode="other"} 0`,
		`wxsidecar_renewals_total{kind="authorizer",result="refused"} 0`,
		`wxsidecar_displaced_total{kind="component"} 0`,
		`wxsidecar_pushes_total{info_type="component_verify_ticket",result="accepted"} 0`,
		`wxsidecar_pushes_total{info_type="none",result="forged"} 0`,
		`wxsidecar_outbox_events_total{result="full"} 0`,
		`wxsidecar_outbox_deliveries_total{result="failed"} 0`,
		`wxsidecar_cache_requests_total{result="miss"} 0`,
		`wxsidecar_store_operations_total{op="put",result="conflict"} 0`,
		`wxsidecar_clock_skew_seconds 0`,
		`wxsidecar_family_errcodes_total{errcode="other",family="other"} 0`,
		`wxsidecar_upstream_request_duration_seconds_count{family="other"} 0`,
		`wxsidecar_caller_requests_total{caller="none",result="refused"} 0`,
		`wxsidecar_caller_request_duration_seconds_count{caller="none"} 0`,
		`wxsidecar_inflight_requests 0`,
		`wxsidecar_config_last_reload_successful 0`,
		`wxsidecar_build_info{goversion="go`,
		`go_goroutines `,
		`process_start_time_seconds `,
	} {
		if !strings.Contains(w.Body.String(), "\n"+want) {
			t.Errorf("no line begins with %s", want)
		}
	}
}
