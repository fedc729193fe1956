package main

import (
	"context"
	"net/http"
	"sync"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// buildPush makes what takes WeChat's pushes. The broker and the relay must be built.
func (s *sidecar) buildPush(c config.Config, keys *seal.Keyring) error {
	pages, err := s.newPages(c, keys)
	if err != nil {
		return err
	}
	replies, err := replyKeys(keys)
	if err != nil {
		return err
	}
	shared, _ := s.records.(store.Memory) // nil: no other sidecar uses the store
	s.push, err = push.New(push.Options{
		Components: pushComponents(c.Components), Accounts: pushAccounts(c.Accounts), Handler: pushHandler{s.broker, s.events},
		Messages: s.messageHandler(), Memory: shared, Seal: replies, Pages: pages, Window: c.Push.TimestampWindow,
		MaxConns: maxPushConns(), Metrics: s.metrics, Log: s.log, BaseContext: s.base,
	})
	return err
}

// replyKeys are keys of their own: one key seals no more than 2^32 times safely, and there are
// more replies than renewals.
func replyKeys(keys *seal.Keyring) (*seal.Keyring, error) {
	derived := append(keys.Derive("replies to messages"), nil) // nil: there is no previous key
	return seal.New(derived[0], derived[1])
}

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
