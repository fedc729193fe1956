package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

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
