package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// timing are the options of a histogram of seconds. It is a classic one with buckets, and a
// native one for a Prometheus that asks for those, whose buckets are a tenth apart.
func timing(name, help string, buckets ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1,
		// What is beyond makes the buckets wider; calls that take from 20 µs to 30 s need 150.
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// Histogram is one histogram of seconds, resolved once and kept by its user, so that
// observing costs no look-up. The zero Histogram observes nothing.
type Histogram struct{ h prometheus.Observer }

// Observe counts a duration.
func (h Histogram) Observe(d time.Duration) {
	if h.h != nil {
		h.h.Observe(d.Seconds())
	}
}
