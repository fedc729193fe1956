package wechattest

import (
	"context"
	"time"
)

// strikeEarly finds the fault that breaks the call off before its body is read.
func (s *Server) strikeEarly(c *call) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outage {
		return Fault{Mode: Refuse}, true
	}
	for _, a := range s.faults {
		if !a.covers(c.path, c.r.Host) || !a.outcome() {
			continue
		}
		if !a.early() {
			return Fault{}, false // it comes first, and is decided with the body
		}
		if s.concerns(a, c) && s.hits(a, c) {
			return a.Fault, true
		}
	}
	return Fault{}, false
}

// strike finds the fault of a call that was read: the first with an outcome,
// with the delays of all added up.
func (s *Server) strike(c *call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found Fault
	var wait, drip time.Duration
	chunked := false
	for _, a := range s.faults {
		if !a.covers(c.path, c.r.Host) || c.passed[a] || a.outcome() && found.outcome() {
			continue
		}
		if !s.concerns(a, c) || !s.hits(a, c) {
			continue
		}
		if a.outcome() {
			found = a.Fault
		}
		wait, drip, chunked = wait+a.Latency, drip+a.Drip, chunked || a.Chunked
	}
	found.Latency, found.Drip, found.Chunked = wait, drip, chunked
	return found
}

// hits rolls the fault's dice and counts it.
func (s *Server) hits(a *armedFault, c *call) bool {
	if a.Probability > 0 && !s.mint.chance(a.Probability) {
		if c.passed == nil {
			c.passed = map[*armedFault]bool{}
		}
		c.passed[a] = true
		return false
	}
	a.struck++
	return true
}

// concerns reports whether the fault is for the account and the component of the call.
func (s *Server) concerns(a *armedFault, c *call) bool {
	return (a.AppID == "" || a.AppID == s.guessSubject(c)) && (a.Component == "" || a.Component == s.guessComponent(c))
}

// guessComponent finds the component that a call is made for before it is judged.
func (s *Server) guessComponent(c *call) string {
	for _, p := range c.query {
		if t := s.purse.byText[p.value]; t != nil {
			return t.key.component
		}
	}
	if c.body != nil {
		_ = c.parse()
	}
	value, _ := c.text("component_appid")
	return value
}

// guessSubject finds the appid that a call is about before it is judged: that of
// its token, or the one named in its body or query.
func (s *Server) guessSubject(c *call) string {
	for _, p := range c.query {
		if t := s.purse.byText[p.value]; t != nil && t.key.kind != KindComponent {
			return t.key.appID
		}
	}
	if c.body != nil {
		_ = c.parse()
	}
	for _, name := range []string{"authorizer_appid", "appid", "component_appid"} {
		if value, _ := c.text(name); value != "" {
			return value
		}
		if value := c.get(name); value != "" {
			return value
		}
	}
	return ""
}

// sleep waits for d, or for the caller to leave.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// hang waits until the caller leaves or the faults are cleared.
func (s *Server) hang(ctx context.Context) {
	s.mu.Lock()
	released := s.released
	s.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-released:
	}
}
