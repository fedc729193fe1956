package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// Each histogram is a native one as well, with its classic buckets beside it for those who
// do not ask for the others.
func TestHistograms_NativeAndClassic(t *testing.T) {
	m := newFull()
	useAll(m)
	found := 0
	for _, f := range ours(t, m) {
		for _, one := range f.GetMetric() {
			h := one.GetHistogram()
			if h == nil {
				continue
			}
			found++
			if h.Schema == nil || h.GetSchema() != 3 {
				t.Errorf("%s %s: no native histogram with buckets a tenth apart", f.GetName(), one.GetLabel())
			}
			if len(h.GetBucket()) == 0 {
				t.Errorf("%s %s: no classic buckets", f.GetName(), one.GetLabel())
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d histograms were found", found)
	}
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/vnd.google.protobuf") {
		t.Errorf("a Prometheus that asks for native histograms gets %q", got)
	}
}

// A histogram costs a call nothing that it would have to wait or collect garbage for.
func TestHistogram_AllocatesNothing(t *testing.T) {
	h := metrics.New("v1").UpstreamTime("other")
	i := 0
	observe := func() {
		h.Observe(time.Duration(i%1000) * time.Millisecond)
		i++
	}
	if got := testing.AllocsPerRun(1000, observe); got != 0 {
		t.Errorf("an observation costs %g allocations", got)
	}
}

// promtool finds nothing to say about names, types and help texts.
func TestPromtool_CheckMetrics(t *testing.T) {
	m := newFull()
	useAll(m)
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(scrape(m))
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	cmd = exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader("# TYPE wrong counter\nwrong 1\n")
	if err := cmd.Run(); err == nil {
		t.Error("promtool finds no fault in a counter without _total: the check is blind")
	}
}

// The label appid has those that die first, and one without a token before them.
func TestExpiries_AreBounded(t *testing.T) {
	m := metrics.New("v1")
	m.KeyStates(func() *metrics.KeyCounts {
		c := &metrics.KeyCounts{Expiries: []metrics.Expiry{}}
		for i := range 1000 {
			c.Expiries = append(c.Expiries, metrics.Expiry{Kind: "account", AppID: "wx" + time.Unix(int64(i), 0).UTC().Format("150405"), At: time.Unix(int64(2000-i), 0)})
		}
		c.Expiries[3].At = time.Time{}
		return c
	})
	got := scrape(m)
	if n := strings.Count(got, "\nwxsidecar_token_expiry_timestamp_seconds{"); n != 64 {
		t.Errorf("%d series, want 64", n)
	}
	for _, want := range []string{`{appid="wx000003",kind="account"} 0`, `{appid="wx001639",kind="account"} 1001`} {
		if !strings.Contains(got, "\nwxsidecar_token_expiry_timestamp_seconds"+want+"\n") {
			t.Errorf("no series %s", want)
		}
	}
	if strings.Contains(got, `appid="wx000000"`) {
		t.Error("the account whose token dies last has a series")
	}
}

// However many families and errcodes apps make WeChat answer with, their pairs are bounded,
// and all are counted.
func TestFamilyErrcodes_AreBounded(t *testing.T) {
	m := metrics.New("v1")
	for i := range 1000 {
		m.UpstreamErrcode("/f", 50000+i)
	}
	got := scrape(m)
	if n := strings.Count(got, "\nwxsidecar_family_errcodes_total{"); n != 121 {
		t.Errorf("%d series, want 120 and other", n)
	}
	if !strings.Contains(got, "\n"+`wxsidecar_family_errcodes_total{errcode="other",family="other"} 880`+"\n") {
		t.Error("those beyond are not counted as other")
	}
}
