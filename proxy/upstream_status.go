package proxy

import "time"

// HostStatus says how calls to one of WeChat's hosts go.
type HostStatus struct {
	Name string
	// Failures is how many calls failed in a row.
	Failures int
	// OutUntil is when a host that is out is tried again. It is zero for one that is not out, and
	// from half a minute after that time on if no call has tried it: how it is, nobody knows then.
	OutUntil time.Time
}

// Hosts returns how the upstream's hosts are, the first one first. The caller owns the slice.
func (s *Server) Hosts() []HostStatus {
	all, now := make([]HostStatus, len(s.upstream.hosts)), s.upstream.now()
	for i, h := range s.upstream.hosts {
		all[i] = h.status(now)
		if until := all[i].OutUntil; !until.IsZero() {
			all[i].OutUntil = s.source.Now().Add(until.Sub(now)) // the upstream's clock is no wall clock
		}
	}
	return all
}

func (h *host) status(now time.Time) HostStatus {
	st := HostStatus{Name: h.name, Failures: int(h.failures.Load())}
	if until := time.Unix(0, h.outUntil.Load()); st.Failures >= hostFailures && now.Sub(until) <= hostOut {
		st.OutUntil = until
	}
	return st
}
