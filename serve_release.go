package main

import (
	"context"
	"sync"

	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// messageHandler returns who takes messages: the release check, unless it is switched off, and
// behind it the targets.
func (s *sidecar) messageHandler() push.MessageHandler {
	if s.release == nil {
		return s.messages
	}
	return s.release.Before(s.messages)
}

// startRelease starts what follows the answers to the release check. stopRelease ends it, and
// must have returned before the broker is stopped: that waits for exchanges that have begun by
// then.
func (s *sidecar) startRelease() {
	if s.release == nil {
		return
	}
	ctx, cancel := context.WithCancel(s.base)
	var running sync.WaitGroup
	running.Go(func() { s.release.Run(ctx) })
	s.stopRelease = func() {
		cancel()
		running.Wait()
	}
}
