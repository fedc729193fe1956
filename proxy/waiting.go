package proxy

import (
	"context"
	"time"
)

// waitContext is a context that many calls share.
type waitContext struct {
	context.Context
	until time.Time
}

// waiting returns a context that ends in between tokenWait and a second more:
// one for all calls of a second, since one for each would be an allocation that
// nearly none of them needs.
func (s *Server) waiting() context.Context {
	now := s.now()
	if w := s.wait.Load(); w != nil && now.Before(w.until) {
		return w
	}
	// It ends by itself, so there is nothing to cancel early.
	ctx, cancel := context.WithTimeout(s.base, tokenWait+time.Second)
	context.AfterFunc(ctx, cancel)
	w := &waitContext{ctx, now.Add(time.Second)}
	s.wait.Store(w)
	return w
}
