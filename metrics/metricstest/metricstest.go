// Package metricstest holds what the tests of those who count have in common.
//
// The package makes no API promise outside this module.
package metricstest

import (
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/wxsidecar/wxsidecar/metrics"
)

// WantNoneBorn reports every counter of m that new metrics do not have. One that is
// born at its first event hides that event from increase(). The counters of a family
// of paths, which are made together when it is first called, are left out. A nil m is
// fine.
func WantNoneBorn(tb testing.TB, m *metrics.Metrics) {
	tb.Helper()
	if m == nil {
		return
	}
	known := series(tb, metrics.New("test"))
	for _, s := range series(tb, m) {
		if !slices.Contains(known, s) {
			tb.Errorf("the series %s began at its first event, so that increase() does not see it: metrics/known.go should have it", s)
		}
	}
}

// series returns the names and labels of our counters.
func series(tb testing.TB, m *metrics.Metrics) []string {
	tb.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, f := range families {
		if f.GetType() != dto.MetricType_COUNTER || !strings.HasPrefix(f.GetName(), "wxsidecar_") {
			continue
		}
		for _, one := range f.GetMetric() {
			if text, ok := named(one.GetLabel()); ok {
				all = append(all, f.GetName()+text)
			}
		}
	}
	return all
}

// named writes labels as a scrape does; false for those of a family of paths.
func named(labels []*dto.LabelPair) (string, bool) {
	var b strings.Builder
	for _, l := range labels {
		if l.GetName() == "family" && l.GetValue() != "other" {
			return "", false
		}
		b.WriteString("," + l.GetName() + "=" + l.GetValue())
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}", true
}
