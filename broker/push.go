package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// HandlePush takes a verified push. It returns nil once what the push says is
// durable, was known already, or is of no interest here; only then may "success" be
// answered. The error wraps [ErrUnknownAccount] for a component that is not
// configured. Work that needs WeChat is done afterwards, and survives a crash.
func (b *Broker) HandlePush(ctx context.Context, p wechat.Push) error {
	b.checkpoint("push-begin")
	c := b.component(p.Component)
	if c == nil {
		return fmt.Errorf("%w: component %s is not configured", ErrUnknownAccount, p.Component)
	}
	switch p.InfoType {
	case wechat.InfoTicket:
		return b.takeTicket(ctx, c, p)
	case wechat.InfoUnauthorized:
		return b.revoke(ctx, authorizerKey(c.appID, p.AuthorizerAppID), p.CreateTime, "WeChat pushed unauthorized")
	case wechat.InfoAuthorized, wechat.InfoUpdateAuthorized,
		wechat.InfoFastRegister, wechat.InfoFastRegisterBeta, wechat.InfoFastVerifyBeta:
		return b.takeAuthorization(ctx, c, p)
	default:
		return nil
	}
}

// takeTicket keeps a ticket durably. A token that is still valid is not renewed.
func (b *Broker) takeTicket(ctx context.Context, c *component, p wechat.Push) error {
	now := b.clock.Now()
	t := ticket{value: p.Ticket, created: p.CreateTime, received: now}
	if t.created.After(now.Add(ticketFuture)) {
		t.created = now // else no later ticket could replace it
	}
	news := false
	b.checkpoint("push-saving")
	err := b.updatePlatform(ctx, c, func(held platformRecord) (next platformRecord, changed bool) {
		next, news = held.with(t)
		return next, news
	})
	b.checkpoint("push-saved")
	if err != nil {
		return fmt.Errorf("keep the ticket of %s: %w", c.appID, err)
	}
	if news {
		b.ticketCame(c)
	}
	return nil
}

func (b *Broker) ticketCame(c *component) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.active[componentKey(c.appID)]
	now := b.clock.Now()
	if e == nil {
		return
	}
	if e.running {
		e.again = true // it may have begun with the older ones
	}
	sound := b.sound(e, now) != nil
	if sound && e.cond.trouble != StateWaitingTicket {
		return
	}
	// A token that lives is renewed as well if that was due and failed for want of
	// this very ticket: nothing else would bring it back before the token's death.
	b.turn(e, event{what: happenedTicket, alive: sound}, now)
	at := e.cond.notBefore
	if e.cond.trouble == StateMisconfigured {
		at = now // perhaps cured since: WeChat does push, and no more than every ten minutes
	}
	b.place(e, at, true)
}

// revoke takes away what an authorizer's authorization gave, durably and at once,
// unless the merchant authorised again after when.
func (b *Broker) revoke(ctx context.Context, key Key, when time.Time, reason string) error {
	revoked := false
	rec, err := b.update(ctx, key, func(r *record) bool {
		revoked = r.known() && !when.Before(r.authorized) && r.verdict != StateUnauthorized
		if !revoked {
			return false
		}
		r.generation++
		r.forget()
		r.judge(StateUnauthorized, b.clock.Now(), reason, wechat.CodeNotAuthorized)
		return true
	})
	if revoked {
		b.directory.changed()
		b.follow(key, event{what: happenedRevoked, reason: reason, errcode: wechat.CodeNotAuthorized, wait: verdictMemory})
	}
	if err == nil && rec.verdict == StateUnauthorized {
		err = b.dropPageTickets(ctx, key) // also at a repeat: the first may have come no further
	}
	return err
}

// dropPageTickets takes away the tickets for pages of an account that was taken
// back: they go with the authorization that they were given for.
func (b *Broker) dropPageTickets(ctx context.Context, account Key) error {
	for _, kind := range []Kind{KindJSAPITicket, KindWXCardTicket} {
		key := account.account().TicketKey(kind)
		dropped := false
		_, err := b.update(ctx, key, func(r *record) bool {
			dropped = !r.token.IsZero() || b.renewing(key) // what is on its way was given for it as well
			if dropped {
				r.generation++
				r.dropToken()
			}
			return dropped
		})
		if err != nil {
			return err
		}
		if dropped {
			b.follow(key, event{what: happenedDied})
		}
	}
	return nil
}

// renewing reports whether a renewal of key is under way.
func (b *Broker) renewing(key Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.active[key]
	return e != nil && e.running
}

// follow turns a key whose record was changed by something else than its own
// renewal, and tells everybody who waits for it.
func (b *Broker) follow(key Key, ev event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.active[key]
	if e == nil {
		return
	}
	now := b.clock.Now()
	t := e.token.Load()
	ev.alive = t.Alive(now)
	b.turn(e, ev, now)
	if e.blockedOn != nil && ev.what != happenedBlocked {
		b.unblock(e)
	}
	switch {
	case e.running: // its end schedules it
	case ev.what == happenedRevoked:
		b.unplace(e)
	case ev.alive:
		b.place(e, due(t, t.Life(), b.opts.RenewAt, b.opts.Rand()), false)
	case e.waiters > 0 || e.permanent || ev.what == happenedAuthorized: // who is not in use is let go of then
		b.place(e, e.cond.notBefore, e.waiters > 0)
	}
	e.announce()
	b.tellDependents(e)
}

// takeAuthorization keeps the event in the inbox; its code is exchanged after
// WeChat has its answer.
func (b *Broker) takeAuthorization(ctx context.Context, c *component, p wechat.Push) error {
	if p.AuthorizerAppID == "" && p.Code.IsZero() {
		return nil // a registration that failed, say: nothing to exchange
	}
	item := inboxItem{
		Component: c.appID, AppID: p.AuthorizerAppID, Code: p.Code.Reveal(),
		Expires: millis(p.CodeExpires), Created: millis(p.CreateTime),
	}
	plain, err := item.encode()
	if err != nil {
		return err
	}
	name := inboxName(c.appID, p.CreateTime, p.ID)
	b.comes(item.key()) // before the inbox can know of it, and end the wait
	b.checkpoint("push-saving")
	err = b.records.write(ctx, change{name: name, generation: 1, plain: plain})
	b.checkpoint("push-saved")
	if errors.Is(err, store.ErrConflict) {
		return nil // a repeat of one that waits already
	}
	if err != nil {
		b.came(item.key())
		return fmt.Errorf("keep the authorization of %s: %w", p.AuthorizerAppID, err)
	}
	b.readInbox()
	return nil
}

// refusedPush is the last push for a component that was not taken.
type refusedPush struct {
	cause string
	at    time.Time
}

// PushRefused notes that a push for a component came and was refused, and why, in one
// word: whoever waits for a ticket is told so, and what to do. One for an appid that
// is not configured, or for none, may be any component's.
func (b *Broker) PushRefused(appID, cause string) {
	note := &b.astray
	if c := b.component(appID); c != nil {
		note = &c.refused
	}
	note.Store(&refusedPush{cause: cause, at: b.clock.Now()})
}

// lastRefused returns the last push for c that was not taken, if any came lately;
// else the last that nobody knows whose it was.
func (b *Broker) lastRefused(c *component, now time.Time) *refusedPush {
	for _, note := range []*atomic.Pointer[refusedPush]{&c.refused, &b.astray} {
		if r := note.Load(); r != nil && now.Sub(r.at) < ticketPatience {
			return r
		}
	}
	return nil
}
