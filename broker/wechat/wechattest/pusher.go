package wechattest

import (
	"context"
	"time"
)

// RunPushes pushes tickets to all components, at once and then every
// Options.PushEvery, and when api_start_push_ticket asks for one, until ctx
// ends. It blocks and starts no goroutine. Failures are logged and go on record
// (see [Server.Pushes]).
func (s *Server) RunPushes(ctx context.Context) {
	ticker := time.NewTicker(s.opt.PushEvery)
	defer ticker.Stop()
	s.pushAll(ctx, false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.pushAll(ctx, false)
		case <-s.wake:
			s.pushAll(ctx, true)
		}
	}
}

// pushAll pushes a ticket to the components that are due: all but the silenced
// ones, or only those that have asked.
func (s *Server) pushAll(ctx context.Context, asked bool) {
	for _, appID := range s.duePushes(asked) {
		if err := s.PushTicket(ctx, appID); err != nil && ctx.Err() == nil {
			s.opt.Log.Warn("ticket push failed", "component", appID, "error", err)
		}
	}
}

func (s *Server) duePushes(asked bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []string
	for appID, p := range s.components {
		if p.PushURL != "" && !p.silent && (!asked || p.wanted) {
			due = append(due, appID)
		}
		p.wanted = false
	}
	return due
}

// wakePusher tells RunPushes that a component asked for a ticket. It
// never blocks.
func (s *Server) wakePusher() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// StopPushing makes WeChat stop pushing tickets to the component, as it does at
// times, until api_start_push_ticket is called. [Server.PushTicket] still works.
func (s *Server) StopPushing(componentAppID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustComponent(componentAppID).silent = true
}

// TicketWanted reports whether api_start_push_ticket was called for the
// component since the last ticket of RunPushes.
func (s *Server) TicketWanted(componentAppID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mustComponent(componentAppID).wanted
}
