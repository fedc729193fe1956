package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
	"github.com/wxsidecar/wxsidecar/proxy/push"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

// buildRelay opens the outbox of authorization events, and makes what delivers these and
// messages. The store must be open, and the broker built.
func (s *sidecar) buildRelay(c config.Config, keys *seal.Keyring) error {
	client, err := newRelay(c, s.own)
	if err != nil {
		return err
	}
	targets, err := relayTargets(c.Events)
	if err != nil {
		return err
	}
	s.messages = &messageRelay{client: client}
	s.messages.setTargets(targets)
	s.events, err = outbox.Open(s.base, outbox.Options{
		Store: s.records, Seal: keys, Targets: eventTargets(targets, client), Hold: s.holdEvent,
		Limit: int64(c.Limits.Outbox), Metrics: s.metrics, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.metrics.OutboxStats(s.events.Stats)
	return nil
}

// holdEvent reports whether an event's merchant has no token yet: an app that hears of an
// authorization calls for the merchant at once.
func (s *sidecar) holdEvent(e *outbox.Event) bool {
	return e.AppID != "" && s.broker.AuthorizationPending(e.Component, e.AppID)
}

// setTargets replaces the targets of events and messages.
func (s *sidecar) setTargets(targets []*relay.Target) {
	s.messages.setTargets(targets)
	s.events.SetTargets(eventTargets(targets, s.messages.client))
}

// redeliverEvents has dead letters tried again.
func (s *sidecar) redeliverEvents() {
	n, err := s.events.Redeliver(s.base)
	if err != nil && s.base.Err() == nil {
		s.log.Error("dead letters are not tried again", "error", err)
	}
	if n > 0 {
		s.log.Info("dead letters are tried again", "events", n)
	}
}

// pushHandler passes authorization events to the broker and then on to apps.
type pushHandler struct {
	*broker.Broker
	events *outbox.Outbox
}

// HandlePush implements [push.Handler]. Tokens come before apps: what the outbox cannot take is
// not acknowledged, but has had its effect.
func (h pushHandler) HandlePush(ctx context.Context, p wechat.Push) error {
	if err := h.Broker.HandlePush(ctx, p); err != nil || p.InfoType == wechat.InfoTicket {
		return err
	}
	return h.events.Add(ctx, outbox.Event{
		ID: p.ID, Component: p.Component, AppID: p.AuthorizerAppID, InfoType: p.InfoType, Text: p.Document,
	})
}

// eventTarget is a target as the outbox knows it.
type eventTarget struct {
	*relay.Target
	client *relay.Client
}

func eventTargets(targets []*relay.Target, client *relay.Client) []outbox.Target {
	list := make([]outbox.Target, len(targets))
	for i, t := range targets {
		list[i] = eventTarget{t, client}
	}
	return list
}

// Name implements [outbox.Target].
func (t eventTarget) Name() string { return t.URL() }

// Wants implements [outbox.Target].
func (t eventTarget) Wants(e *outbox.Event) bool { return t.Target.Wants(delivery(e)) }

// Deliver implements [outbox.Target].
func (t eventTarget) Deliver(ctx context.Context, e *outbox.Event) error {
	d := delivery(e)
	d.Body = []byte(e.Text.Reveal())
	_, err := t.client.Deliver(ctx, t.Target, d)
	return err
}

// delivery returns the delivery of e, without its body.
func delivery(e *outbox.Event) *relay.Delivery {
	return &relay.Delivery{ID: e.ID, RequestID: e.ID, AppID: e.AppID, Component: e.Component, InfoType: e.InfoType}
}

// maxPerTarget is how many messages wait for one target's reply. A target that hangs then
// costs connections of its own and none of the others'.
const maxPerTarget = 256

var errTargetBusy = errors.New("256 messages wait for a reply of this target already")

// messageRelay hands messages to the first target that wants them. It is safe for concurrent
// use.
type messageRelay struct {
	client  *relay.Client
	targets atomic.Pointer[[]messageTarget]
}

// messageTarget is a target, with a place for each message that may wait for its reply.
type messageTarget struct {
	*relay.Target
	places chan struct{}
}

// setTargets replaces the targets. Messages that wait for a reply go on waiting.
func (r *messageRelay) setTargets(targets []*relay.Target) {
	list := make([]messageTarget, len(targets))
	for i, t := range targets {
		list[i] = messageTarget{t, make(chan struct{}, maxPerTarget)}
	}
	r.targets.Store(&list)
}

// HandleMessage implements [push.MessageHandler].
func (r *messageRelay) HandleMessage(ctx context.Context, m *wechat.Message) ([]byte, error) {
	d := &relay.Delivery{
		ID: m.ID, AppID: m.AppID, Component: m.Component, MsgType: m.MsgType, Event: m.Event, RequestID: m.ID, Body: m.Document,
	}
	for _, t := range *r.targets.Load() {
		if t.Wants(d) {
			return r.deliver(ctx, t, d)
		}
	}
	return nil, push.ErrNoTarget
}

func (r *messageRelay) deliver(ctx context.Context, t messageTarget, d *relay.Delivery) ([]byte, error) {
	select {
	case t.places <- struct{}{}:
		defer func() { <-t.places }()
		return r.client.Deliver(ctx, t.Target, d)
	default:
		return nil, errTargetBusy
	}
}

func newRelay(c config.Config, own *dial.OwnAddresses) (*relay.Client, error) {
	roots, err := rootCAs(c.Upstream.CAFile)
	if err != nil {
		return nil, err
	}
	return relay.New(relay.Options{Own: own, RootCAs: roots, UserAgent: "wxsidecar/" + version()}), nil
}

// relayTargets returns the targets of events, in the order of the configuration.
func relayTargets(configured []config.Event) ([]*relay.Target, error) {
	targets := make([]*relay.Target, len(configured))
	var faults []error
	for i, e := range configured {
		var err error
		targets[i], err = relay.NewTarget(relay.TargetOptions{
			URL: e.URL, InfoTypes: e.InfoTypes, MsgTypes: e.MsgTypes, Events: e.Events, AppIDs: e.AppIDs, Components: e.Components,
			Format: e.Format, Secret: e.Secret,
		})
		if err != nil {
			faults = append(faults, fmt.Errorf("events[%d].%w", i, err))
		}
	}
	return targets, errors.Join(faults...)
}
