package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{7}, spread{7, 7, 7}},
		{[]float64{4, 2}, spread{2.5, 3, 3.5}},
		{[]float64{5, 1, 4, 2, 3}, spread{2, 3, 4}},
		{[]float64{40, 10, 30, 20}, spread{17.5, 25, 32.5}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: %v, not %v", c.values, got, c.want)
		}
	}
}

// Ratios are of the same round: the median of ratios, not the ratio of medians.
func TestRatios(t *testing.T) {
	a := []sample{{perSecond: 10}, {perSecond: 300}, {perSecond: 20}}
	b := []sample{{perSecond: 20}, {perSecond: 100}, {perSecond: 20}}
	if got, want := ratios(figures[0], a, b), (spread{0.75, 1, 2}); got != want {
		t.Errorf("%v, not %v", got, want)
	}
	if got := median(figures[0], a); got != 20 {
		t.Errorf("the median is %v", got)
	}
}

func us(n int) time.Duration { return time.Duration(n) * time.Microsecond }

func TestReport(t *testing.T) {
	of := func(name, title string, accounts int) contender {
		return contender{peer: peer{name: name, title: title}, accounts: accounts}
	}
	r := report{
		options: options{accounts: []int{1, 10000}, rounds: 2, length: time.Second},
		contenders: []contender{
			of("direct", "no proxy", 1), of("nginx", "nginx, map", 1), of("wxsidecar", "wxsidecar", 1), of("off", "wxsidecar, all off", 1),
			of("nginx", "nginx, map", 10000), of("wxsidecar", "wxsidecar", 10000),
		},
		trials: []trial{{allLoads[0], 1, [][]sample{
			{{40000, us(9), us(10), us(20), 1 << 20}, {40000, us(9), us(10), us(20), 1 << 20}},
			{{20000, us(20), us(30), us(100), 10 << 20}, {10000, us(40), us(50), us(100), 10 << 20}},
			{{10000, us(30), us(50), us(200), 30 << 20}, {10000, us(40), us(70), us(100), 30 << 20}},
			{{10500, us(29), us(50), us(200), 30 << 20}, {10500, us(39), us(70), us(100), 30 << 20}},
			{{5000, us(20), us(30), us(100), 20 << 20}, {5000, us(40), us(30), us(100), 20 << 20}},
			{{5000, us(30), us(30), us(100), 40 << 20}, {5000, us(40), us(30), us(100), 40 << 20}},
		}}},
	}
	var out bytes.Buffer
	r.print(&out, "nginx")
	for _, want := range []string{
		"2 rounds of 1s,",
		"\nGET, 1 connection\n",
		"| no proxy | 1 | 40,000 × 3.00 [2.50–3.50] |  | 10 × 0.27 [0.23–0.30] | 20 × 0.20 [0.20–0.20] |  |  |\n",
		"| nginx, map | 1 | 15,000 × 1.00 [1.00–1.00] | 30 × 1.00 [1.00–1.00] | 40 × 1.00 [1.00–1.00] | 100 × 1.00 [1.00–1.00] | 10 × 1.00 [1.00–1.00] | 30 × 1.00 [1.00–1.00] |\n",
		"| wxsidecar | 1 | 10,000 × 0.75 [0.62–0.88] | 35 × 1.25 [1.12–1.38] | 60 × 1.53 [1.47–1.60] | 150 × 1.50 [1.25–1.75] | 30 × 3.00 [3.00–3.00] | 50 × 1.75 [1.62–1.88] |\n",
		// Those with as many accounts are compared.
		"| wxsidecar | 10,000 | 5,000 × 1.00 [1.00–1.00] | 35 × 1.25 [1.12–1.38] | 30 ×",
		"\nwxsidecar with 10,000 accounts beside 1\n",
		"| GET | 1 | 0.50 [0.50–0.50] | 1.00 [1.00–1.00] | not within 5 % |\n",
		"\nwxsidecar with all features on beside all off\n",
		"| GET | 1 | 0.95 [0.95–0.95] | 1.03 [1.03–1.03] | within 10 % |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "access log") {
		t.Error("what did not run is compared")
	}
}

func TestVerdict(t *testing.T) {
	one := spread{1, 1, 1}
	for _, c := range []struct {
		calls, cpu spread
		want       string
	}{
		{spread{0.5, 0.96, 1}, spread{1, 1.04, 2}, "within 5 %"},
		{spread{2, 2, 2}, spread{0.5, 0.5, 0.5}, "within 5 %"},
		{spread{0.9, 0.93, 0.94}, one, "not within 5 %"},
		{one, spread{1.06, 1.07, 1.08}, "not within 5 %"},
		{spread{0.9, 0.93, 0.96}, one, "unclear: more rounds"},
		{one, spread{1.04, 1.07, 1.08}, "unclear: more rounds"},
	} {
		if got := verdict(0.05, c.calls, c.cpu); got != c.want {
			t.Errorf("%v, %v: %s, not %s", c.calls, c.cpu, got, c.want)
		}
	}
	if got := verdict(0, one, one); got != "" {
		t.Errorf("a verdict without a bound: %s", got)
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{1: "1", 12.345: "12.3", 123.4: "123", 1234.5: "1,234", 1234567: "1,234,567", -3.25: "-3.2"} {
		if got := thousands(v); got != want {
			t.Errorf("%v: %s, not %s", v, got, want)
		}
	}
}
