package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// both are a histogram of ours and client_golang's with the same buckets.
func both(t *testing.T, observe func(f func(time.Duration))) (ours, theirs *dto.Histogram) {
	t.Helper()
	classic := []float64{.005, .05, .25, 1, 5}
	r := prometheus.NewRegistry()
	h := newHistograms(r, "ours_seconds", "Ours.", "", classic...).with("")
	reference := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "theirs_seconds", Help: "Theirs.", Buckets: classic,
		NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: math.Exp2(-20),
	})
	r.MustRegister(reference)
	observe(func(d time.Duration) {
		h.Observe(d)
		reference.Observe(d.Seconds())
	})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[1].GetMetric()[0].GetHistogram(), families[0].GetMetric()[0].GetHistogram()
}

// text is what a histogram says. Its native buckets are written one by one, as there is more
// than one way to put them into spans.
func text(h *dto.Histogram) string {
	var b strings.Builder
	fmt.Fprintf(&b, "count %d sum %.6f schema %d zero %g: %d\n", h.GetSampleCount(), h.GetSampleSum(), h.GetSchema(), h.GetZeroThreshold(), h.GetZeroCount())
	for _, c := range h.GetBucket() {
		fmt.Fprintf(&b, "le %g: %d\n", c.GetUpperBound(), c.GetCumulativeCount())
	}
	at, n, delta := int32(0), int64(0), 0
	for _, s := range h.GetPositiveSpan() {
		at += s.GetOffset()
		for range s.GetLength() {
			n += h.GetPositiveDelta()[delta]
			if n != 0 {
				fmt.Fprintf(&b, "native %d: %d\n", at, n)
			}
			delta++
			at++
		}
	}
	return b.String()
}

func TestHistogram_CountsLikeClientGolang(t *testing.T) {
	f := func(name string, observe func(f func(time.Duration))) {
		t.Helper()
		ours, theirs := both(t, observe)
		if d := cmp.Diff(text(theirs), text(ours)); d != "" {
			t.Errorf("%s (-client_golang +ours):\n%s", name, d)
		}
		if len(ours.GetPositiveSpan()) == 0 {
			t.Errorf("%s: without a span readers take it for a classic one", name)
		}
	}
	f("empty", func(func(time.Duration)) {})
	f("one", func(f func(time.Duration)) { f(20 * time.Millisecond) })
	f("far apart", func(f func(time.Duration)) { f(3 * time.Microsecond); f(time.Hour); f(time.Hour) })
	f("nothing at all", func(f func(time.Duration)) { f(0); f(500) })
	f("just on the bounds of classic buckets", func(f func(time.Duration)) { f(5 * time.Millisecond); f(time.Second); f(5 * time.Second) })
	r := rand.New(rand.NewPCG(1, 2))
	f("of all sizes", func(f func(time.Duration)) {
		for range 20_000 {
			f(time.Duration(math.Exp(r.Float64() * math.Log(float64(time.Hour)))))
		}
	})
}

// The short cut to a bucket leads where a look at all of them does.
func TestHistogram_FindsTheBucket(t *testing.T) {
	b := newBounds([]float64{.005, .25, 1, 5})
	f := func(d time.Duration) {
		t.Helper()
		if want, _ := slices.BinarySearch(b.upper, int64(max(d, 0))); b.stretch(d) != want {
			t.Errorf("%d ns: bucket %d, want %d", d, b.stretch(d), want)
		}
	}
	for _, u := range b.upper {
		f(time.Duration(u - 1))
		f(time.Duration(u))
		f(time.Duration(u + 1))
	}
	for k := range 63 {
		f(1<<k - 1)
		f(1 << k)
	}
	f(-1)
	f(math.MaxInt64)
}

// What takes longer than the last bucket is in it, and in no classic one.
func TestHistogram_LongerThanTheLastBucket(t *testing.T) {
	ours, _ := both(t, func(f func(time.Duration)) { f(24 * time.Hour) })
	want := "count 1 sum 86400.000000 schema 3 zero 9.5367431640625e-07: 0\nle 0.005: 0\nle 0.05: 0\nle 0.25: 0\nle 1: 0\nle 5: 0\nnative 96: 1\n"
	if d := cmp.Diff(want, text(ours)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := newHistograms(prometheus.NewRegistry(), "x_seconds", "X.", "", .1, 1).with("")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Observe(time.Duration(i%1000) * time.Millisecond)
	}
}
