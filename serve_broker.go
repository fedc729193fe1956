package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
	"github.com/wxsidecar/wxsidecar/proxy/releasecheck"
)

// buildBroker opens the store and makes what calls WeChat.
func (s *sidecar) buildBroker(ctx context.Context, c config.Config, keys *seal.Keyring) error {
	opened, err := awaitStore(ctx, s.log, func(ctx context.Context) (opened, error) { return openStore(ctx, c, keys, s.log) })
	if err != nil {
		return err
	}
	s.records, s.closeStore, s.recovery = opened.Store, opened.close, opened.recovery
	client, err := newWeChat(c, dial.Options{Resolver: c.Upstream.Resolver, Own: s.own, Proxy: s.proxy})
	if err != nil {
		return err
	}
	s.broker, err = broker.New(broker.Options{
		Components: brokerComponents(c.Components), Accounts: brokerAccounts(c.Accounts),
		WeChat: client, Store: opened.Store, Seal: keys, Metrics: s.metrics, Log: s.log,
		RenewAt: c.Renewal.At, Rate: c.Renewal.Rate, Workers: c.Renewal.Workers,
		Checkpoint: checkpoint(),
		OnNews:     s.followStore, // none comes before start
	})
	if err != nil {
		return err
	}
	if c.Push.ReleaseCheck {
		s.release = releasecheck.New(releasecheck.Options{Broker: s.broker, Sender: client, Log: s.log})
	}
	if opened.recovery() == nil {
		return nil
	}
	for _, component := range c.Components {
		s.broker.Reconcile(component.AppID) // WeChat's list brings back what was damaged
	}
	return nil
}

// followStore has what the broker does not keep follow what others did with the store.
func (s *sidecar) followStore(n store.News) {
	if n.Emptied && s.restoreCA != nil {
		s.restoreCA()
	}
	s.events.Follow(n)
}

// runBroker runs what keeps tokens and events until the base context ends.
func (s *sidecar) runBroker() {
	defer close(s.brokerDone)
	var events sync.WaitGroup
	events.Go(func() { s.events.Run(s.base) })
	defer events.Wait()
	if err := s.broker.Run(s.base); err != nil && s.base.Err() == nil {
		s.fail(fmt.Errorf("the broker ended: %w", err))
	}
}
