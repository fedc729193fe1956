package broker

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// Admin is what operators see of a [Broker] and may do with it. Nothing that it returns
// holds a secret. Its methods are safe for concurrent use.
type Admin struct{ b *Broker }

// Admin returns the operators' view.
func (b *Broker) Admin() Admin { return Admin{b} }

// Now is [Broker.Now].
func (a Admin) Now() time.Time { return a.b.Now() }

// Skew is [Broker.Skew].
func (a Admin) Skew() (time.Duration, bool) { return a.b.Skew() }

// OwnAccounts returns the configured own accounts, sorted by appid.
func (a Admin) OwnAccounts() []AccountStatus {
	return a.sorted(func(key Key) bool { return key.Kind == KindAccount })
}

// sorted returns how the configured keys are that match, sorted by appid.
func (a Admin) sorted(match func(Key) bool) []AccountStatus {
	var keys []Key
	for key := range a.b.env.config.Load().secrets {
		if match(key) {
			keys = append(keys, key)
		}
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	held := a.b.table.accounts(keys)
	all := []AccountStatus{}
	for _, key := range keys {
		if s, ok := held[key]; ok {
			all = append(all, s)
		}
	}
	return all
}

// Outage returns why nothing is renewed at the moment, WeChat's silence or the way to it;
// empty while renewals go on.
func (a Admin) Outage() string { return a.b.table.outageReason() }

// OutageSince returns when that began; the zero time while renewals go on.
func (a Admin) OutageSince() time.Time {
	since := a.b.table.outageSince()
	if since.IsZero() {
		return since
	}
	skew, _ := a.b.env.clock.Offset()
	return since.Add(skew)
}

// Unsaved returns how many keys memory has more of than the store.
func (a Admin) Unsaved() int { return len(a.b.ledger.unsavedKeys()) }

// CheckStore returns why the store cannot be read now, nil where it can.
func (a Admin) CheckStore(ctx context.Context) error {
	_, err := a.b.ledger.store.Get(ctx, canaryName)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Overview returns how all keys in use are, counted, and whose are in trouble. It passes
// over every key in use, and holds no lock for longer than a thousand of them take.
func (a Admin) Overview() Overview { return a.b.table.overview() }

// Renew has the token of an account or a component renewed now, as [Broker.Renew] does, and
// waits for the outcome until ctx ends. It returns how the key is then, and whether the
// renewal has ended. The error wraps [ErrUnknownAccount] for a key that nobody knows, or
// is the store's.
func (a Admin) Renew(ctx context.Context, key Key) (AccountStatus, bool, error) {
	if _, err := a.b.directory.entryOf(ctx, key); err != nil {
		return AccountStatus{}, false, err
	}
	a.b.Renew(key)
	ended := a.b.table.awaitRenewal(ctx, key)
	s, ok := a.b.table.accounts([]Key{key})[key]
	if !ok {
		return AccountStatus{}, false, unknown(key.AppID)
	}
	return s, ended, nil
}

// Forget takes away what an authorizer's authorization gave, durably, and drops the key,
// whoever uses it. If the authorization is still in force at WeChat, the next call for it, or
// the next reading of the list of authorizers, brings it back. The error wraps
// [ErrUnknownAccount] for a key that nobody knows, says that a configured key cannot be
// forgotten, or is the store's where that did not take it.
func (a Admin) Forget(ctx context.Context, key Key) error {
	if key.Kind != KindAuthorizer {
		return fmt.Errorf("%s is configured, and cannot be forgotten", key.AppID)
	}
	if _, err := a.b.directory.entryOf(ctx, key); err != nil {
		return err
	}
	return a.b.directory.forget(ctx, key)
}

// ReconcileAccount asks WeChat what it has on record of an authorizer, and keeps its
// refresh token. Its errors are those of [Broker.AuthorizerInfo].
func (a Admin) ReconcileAccount(ctx context.Context, key Key) error {
	c := a.b.components.get(key.Component)
	if c == nil || key.Kind != KindAuthorizer {
		return unknown(key.AppID)
	}
	asked := a.b.Now()
	info, err := awaitToken(ctx, c, func() (wechat.Authorizer, error) { return c.info(ctx, key.AppID) })
	if err != nil {
		return err
	}
	c.learn(ctx, info, asked)
	return nil
}

// Reconcile is [Broker.Reconcile], and returns ErrUnknownAccount for a component that is
// not configured.
func (a Admin) Reconcile(component string) error {
	if a.b.components.get(component) == nil {
		return unknown(component)
	}
	a.b.Reconcile(component)
	return nil
}

// StartTickets has WeChat asked to push tickets now. It does not wait for it. WeChat is
// asked once in ten minutes at most: wait says how long that is yet, 0 where it is asked.
// It returns ErrUnknownAccount for a component that is not configured.
func (a Admin) StartTickets(ctx context.Context, component string) (wait time.Duration, err error) {
	c := a.b.components.get(component)
	if c == nil {
		return 0, unknown(component)
	}
	return c.startNow(ctx), nil
}

// ResetBudgets has every key tried now that an exhausted quota, a budget of ours, a
// breaker or a misconfiguration has stopped: an operator says that the cause is gone. It
// does not wait; the rate limit holds, and a cause that remains stops its key again. What
// waits in the inbox and the lists of authorizers are tried as well, and what only the
// merchant can lift is looked at again at the next call.
func (a Admin) ResetBudgets() {
	a.b.env.resets.Add(1)
	a.b.inbox.wakeUp()
	for _, c := range a.b.components.list() {
		c.retryStart()
	}
	a.b.table.retryStopped()
}

// Components returns how the configured components are, sorted by appid.
func (a Admin) Components() []ComponentStatus {
	return a.b.components.statuses(a.sorted(func(key Key) bool { return key.Kind == KindComponent }))
}
