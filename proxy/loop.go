package proxy

import (
	"context"
	"time"
)

// CheckLoop looks the upstream's hosts up and returns an error that wraps
// [dial.ErrLoop] if one of them is this process. A name that cannot be looked up yet
// is no error: the same is checked at each connection. It blocks for a few
// seconds at most.
func (s *Server) CheckLoop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loopWait)
	defer cancel()
	for _, h := range s.upstream.hosts {
		if err := h.dialer.CheckLoop(ctx); err != nil {
			return err
		}
	}
	return nil
}

const loopWait = 3 * time.Second
