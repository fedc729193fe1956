package proxy

import "time"

const (
	// hostFailures in a row take a host out for hostOut.
	hostFailures = 3
	hostOut      = 30 * time.Second
)

// pick returns the first host that is not out and not the one that just failed.
// Where there is none it is the first: a call that is tried may succeed.
func (u *upstream) pick(failed *host) *host {
	now := u.now()
	for _, h := range u.hosts {
		if h != failed && h.available(now) {
			return h
		}
	}
	return u.hosts[0]
}

// available reports whether the host may be tried. A host that is out is tried by
// one call in each hostOut.
func (h *host) available(now time.Time) bool {
	if h.failures.Load() < hostFailures {
		return true
	}
	until := h.outUntil.Load()
	return now.UnixNano() >= until && h.outUntil.CompareAndSwap(until, now.Add(hostOut).UnixNano())
}

// succeeded notes that the host answered.
func (h *host) succeeded() {
	if h.failures.Load() != 0 {
		h.failures.Store(0)
	}
}

// failed notes a connection failure or timeout; true when that takes the host out.
func (h *host) failed(now time.Time) bool {
	n := h.failures.Add(1)
	if n >= hostFailures {
		h.outUntil.Store(now.Add(hostOut).UnixNano())
	}
	return n == hostFailures
}

func (u *upstream) hostFailed(h *host) {
	if h.failed(u.now()) {
		u.metrics.UpstreamOut()
		u.log.Warn("upstream host is out", "host", h.name, "for", hostOut)
	}
}
