package proxy

import "time"

const (
	// hostFailures failures in a row take a host out for hostOut.
	hostFailures = 3
	hostOut      = 30 * time.Second
)

// pick returns the first host that is not out and is not failed. If there is none it
// returns the first host, since a call to it may still succeed.
func (u *upstream) pick(now time.Time, failed *host) *host {
	for _, h := range u.hosts {
		if h != failed && h.available(now) {
			return h
		}
	}
	return u.hosts[0]
}

// available reports whether the host may be tried. A host that is out is tried by one
// call every hostOut.
func (h *host) available(now time.Time) bool {
	if h.failures.Load() < hostFailures {
		return true
	}
	until := h.outUntil.Load()
	return now.UnixNano() >= until && h.outUntil.CompareAndSwap(until, now.Add(hostOut).UnixNano())
}

// succeeded records that the host answered.
func (h *host) succeeded() {
	if h.failures.Load() != 0 {
		h.failures.Store(0)
	}
}

// failed records a connection failure or a timeout. It returns true if that takes the host out.
func (h *host) failed(now time.Time) bool {
	n := h.failures.Add(1)
	if n >= hostFailures {
		h.outUntil.Store(now.Add(hostOut).UnixNano())
	}
	return n == hostFailures
}

// hostFailed records a failure of h, and logs it if h is out from then on.
func (u *upstream) hostFailed(h *host) {
	if h.failed(u.now()) {
		u.metrics.UpstreamOut()
		u.log.Warn("upstream host is out", "host", h.name, "for", hostOut)
	}
}
