package main

import (
	"context"
	"net/http"
	"sync"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// newPages returns the pages on which merchants authorise, or nil without push.public_url.
func (s *sidecar) newPages(c config.Config, keys *seal.Keyring) (http.Handler, error) {
	if c.Push.PublicURL == "" {
		return nil, nil
	}
	return authorize.New(authorize.Options{
		Broker: s.broker, PublicURL: c.Push.PublicURL, Keys: keys.Derive("authorization visits"),
		LandingURL: c.Push.LandingURL, LandingSecret: c.Push.LandingSecret, LoginURL: c.Push.LoginURL,
		ForwardedFor: c.Push.ForwardedFor, Metrics: s.metrics, Log: s.log,
	})
}

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
