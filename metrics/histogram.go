package metrics

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// The buckets of the native form: (2^((i-1)/8), 2^(i/8)] seconds, which its format calls
// schema 3; each is a tenth wider than the one before.
const (
	schema = 3
	// firstNative is the first bucket, just above a microsecond. What is shorter is in the
	// zero bucket.
	firstNative = -20<<schema + 1
	// lastNative ends at an hour and eight minutes. What is longer is in it as well.
	lastNative = 12 << schema
)

// histogram counts durations, in the classic form and the native one at once. Unlike
// client_golang's own it allocates nothing for a bucket's first observation: all buckets are
// there, one for each stretch between two bounds of either form. It is safe for concurrent
// use.
type histogram struct {
	*bounds
	desc   *prometheus.Desc
	labels []*dto.LabelPair

	sum    atomic.Int64 // nanoseconds
	counts []atomic.Uint64
}

// bounds are the upper bounds of the buckets of a histogram, those of both forms in order.
type bounds struct {
	classic []float64 // seconds
	upper   []int64   // nanoseconds
	native  []int     // of each stretch, and of the one beyond, the native bucket that it is in
	// below has at k how many of upper are below 2^(k-1), so that a search looks only at those
	// between two powers of two.
	below [66]int
}

func newBounds(classic []float64) *bounds {
	b := &bounds{classic: classic}
	for i := firstNative - 1; i <= lastNative; i++ {
		b.upper = append(b.upper, nativeBound(i))
	}
	for _, c := range classic {
		b.upper = append(b.upper, nanoseconds(c))
	}
	slices.Sort(b.upper)
	b.upper = slices.Compact(b.upper)
	at := firstNative - 1
	for _, u := range b.upper {
		for at < lastNative && u > nativeBound(at) {
			at++
		}
		b.native = append(b.native, at)
	}
	b.native = append(b.native, lastNative)
	for i, u := range b.upper {
		for k := bits.Len64(uint64(u)) + 1; k < len(b.below); k++ {
			b.below[k] = i + 1
		}
	}
	return b
}

// stretch returns the index in counts for a duration.
func (b *bounds) stretch(d time.Duration) int {
	d = max(d, 0)
	k := bits.Len64(uint64(d)) // d lies in [2^(k-1), 2^k)
	at, _ := slices.BinarySearch(b.upper[b.below[k]:b.below[k+1]], int64(d))
	return b.below[k] + at
}

// nativeBound returns the most nanoseconds that are in bucket i, whose bound is no whole number.
func nativeBound(i int) int64 {
	return int64(math.Exp2(float64(i)/(1<<schema)) * float64(time.Second))
}

func nanoseconds(seconds float64) int64 { return int64(math.Round(seconds * float64(time.Second))) }

func (h *histogram) observe(d time.Duration) {
	h.counts[h.stretch(d)].Add(1)
	h.sum.Add(int64(d))
}

// Desc implements [prometheus.Metric].
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

// Write implements [prometheus.Metric].
func (h *histogram) Write(m *dto.Metric) error {
	counts := make([]uint64, len(h.counts))
	total := uint64(0)
	for i := range counts {
		counts[i] = h.counts[i].Load()
		total += counts[i]
	}
	m.Label = h.labels
	m.Histogram = &dto.Histogram{
		SampleCount: &total, SampleSum: new(time.Duration(h.sum.Load()).Seconds()),
		Schema: new(int32(schema)), ZeroThreshold: new(math.Exp2(float64(firstNative-1) / (1 << schema))),
	}
	h.writeClassic(m.Histogram, counts)
	h.writeNative(m.Histogram, counts)
	return nil
}

func (h *histogram) writeClassic(m *dto.Histogram, counts []uint64) {
	sum, at := uint64(0), 0
	for _, bound := range h.classic {
		for ; at < len(h.upper) && h.upper[at] <= nanoseconds(bound); at++ {
			sum += counts[at]
		}
		m.Bucket = append(m.Bucket, &dto.Bucket{UpperBound: new(bound), CumulativeCount: new(sum)})
	}
}

// writeNative writes the buckets that are not empty: runs of neighbours, and of each bucket by
// how much it differs from the one before.
func (h *histogram) writeNative(m *dto.Histogram, counts []uint64) {
	buckets := make([]uint64, lastNative-firstNative+2)
	for i, n := range counts {
		buckets[h.native[i]-firstNative+1] += n
	}
	m.ZeroCount = &buckets[0]
	end, before := int32(0), int64(0) // of the run before, and the last count
	for i, n := range buckets[1:] {
		if n == 0 {
			continue
		}
		at := int32(firstNative + i)
		if last := len(m.PositiveSpan) - 1; last >= 0 && at == end {
			*m.PositiveSpan[last].Length++
		} else {
			m.PositiveSpan = append(m.PositiveSpan, &dto.BucketSpan{Offset: new(at - end), Length: new(uint32(1))})
		}
		m.PositiveDelta = append(m.PositiveDelta, int64(n)-before)
		end, before = at+1, int64(n)
	}
	if len(m.PositiveSpan) == 0 {
		// Without any the reader takes it for a classic one.
		m.PositiveSpan = []*dto.BucketSpan{{Offset: new(int32(0)), Length: new(uint32(0))}}
	}
}

// histograms are a histogram for each value of a label, or one without a label. It is a
// collector, safe for concurrent use.
type histograms struct {
	*bounds
	desc  *prometheus.Desc
	label string // empty for none

	mu   sync.Mutex
	made map[string]*histogram
}

func newHistograms(r *prometheus.Registry, name, help, label string, classic ...float64) *histograms {
	var labels []string
	if label != "" {
		labels = []string{label}
	}
	h := &histograms{
		bounds: newBounds(classic), label: label, made: map[string]*histogram{},
		desc: prometheus.NewDesc(namespace+"_"+name, help, labels, nil),
	}
	r.MustRegister(h)
	return h
}

// with returns the histogram with that value of the label, and makes it if need be.
func (h *histograms) with(value string) Histogram {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.made[value] == nil {
		one := &histogram{bounds: h.bounds, desc: h.desc, counts: make([]atomic.Uint64, len(h.native))}
		if h.label != "" {
			one.labels = []*dto.LabelPair{{Name: &h.label, Value: &value}}
		}
		h.made[value] = one
	}
	return Histogram{h.made[value]}
}

// Describe implements [prometheus.Collector].
func (h *histograms) Describe(ch chan<- *prometheus.Desc) { ch <- h.desc }

// Collect implements [prometheus.Collector].
func (h *histograms) Collect(ch chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.made {
		ch <- one
	}
}

// Histogram is one histogram of durations, resolved once and kept by its user, so that
// observing costs no look-up. The zero Histogram observes nothing.
type Histogram struct{ h *histogram }

// Observe counts a duration.
func (h Histogram) Observe(d time.Duration) {
	if h.h != nil {
		h.h.observe(d)
	}
}
