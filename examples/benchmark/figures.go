package main

import (
	"fmt"
	"slices"
	"time"
)

// figure is a column of the report.
type figure struct {
	title string
	of    func(sample) float64
}

var figures = []figure{
	{"calls a second", func(s sample) float64 { return s.perSecond }},
	{"CPU of a call, µs", func(s sample) float64 { return micro(s.cpu) }},
	p50,
	{"p99, µs", func(s sample) float64 { return micro(s.p99) }},
	{"peak RSS, MiB", func(s sample) float64 { return float64(s.peak) / (1 << 20) }},
}

var p50 = figure{"p50, µs", func(s sample) float64 { return micro(s.p50) }}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// spread is the median of several figures, between their quartiles.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)}
}

// quantile interpolates between the two values that q lies between.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}

// ratios returns the ratios of a to b, round by round.
func ratios(f figure, a, b []sample) spread {
	values := make([]float64, len(a))
	for i := range a {
		values[i] = f.of(a[i]) / f.of(b[i])
	}
	return spreadOf(values)
}

// median returns the median of what was measured itself.
func median(f figure, samples []sample) float64 {
	values := make([]float64, len(samples))
	for i := range samples {
		values[i] = f.of(samples[i])
	}
	return spreadOf(values).median
}

// added returns samples whose p50 is what a proxy adds to that without one.
func added(samples, direct []sample) []sample {
	rest := slices.Clone(samples)
	for i := range rest {
		rest[i].p50 -= direct[i].p50
	}
	return rest
}

func (s spread) String() string {
	return fmt.Sprintf("%.2f [%.2f–%.2f]", s.median, s.low, s.high)
}
