package broker_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// pass lets d go by in the bubble of the test (see synctest), whose clock begins in
// 2000 and needs no waiting. Outside of one it would hold the test up, so it panics.
func pass(d time.Duration) {
	if time.Now().Year() > 2020 {
		panic("pass is called outside of a synctest bubble")
	}
	time.Sleep(d)
}

func errcodeOf(t *testing.T, resp *http.Response) int {
	t.Helper()
	var answer struct {
		Errcode int `json:"errcode"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("WeChat's answer: %v", err)
	}
	return answer.Errcode
}

// metric returns the sum of a metric's series whose labels include those given.
func (w *world) metric(name string, labels ...string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gatherer().Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			if includes(have, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// includes reports whether have holds the names and values that labels alternate.
func includes(have map[string]string, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if have[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}
