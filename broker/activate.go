package broker

import (
	"context"
	"errors"
	"fmt"
)

// inMemory returns the entry of key if it is in use, else nil.
func (b *Broker) inMemory(key Key) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.active[key]
}

// recall is inMemory for a key that the cache has forgotten. It is told under the
// lock, else it could learn of an entry that was let go of meanwhile.
func (b *Broker) recall(key Key) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.active[key]
	if e != nil {
		b.cache.set(e)
	}
	return e
}

// entryOf returns the entry of key, from memory or from the store. It returns
// ErrUnknownAccount for an account that neither knows.
func (b *Broker) entryOf(ctx context.Context, key Key) (*entry, error) {
	if e := b.recall(key); e != nil {
		return e, nil
	}
	if key.Kind.IsTicket() {
		if _, err := b.pageAccount(ctx, key); err != nil {
			return nil, err
		}
	}
	known, epoch := b.directory.knownUnknown(key, b.clock.Now())
	if known {
		return nil, unknown(key.AppID)
	}
	e, err := b.load(ctx, key)
	if errors.Is(err, ErrUnknownAccount) {
		b.directory.noteUnknown(key, b.clock.Now(), epoch)
	}
	return e, err
}

// pageAccount returns the key of the account that a ticket for pages is derived from, and
// has that in use. It refuses a component, which has no pages: a key made of it could
// never come to life, and each try would have the component's token renewed.
func (b *Broker) pageAccount(ctx context.Context, ticket Key) (Key, error) {
	if b.component(ticket.AppID) != nil {
		return Key{}, fmt.Errorf("%w: %s is a component, and only accounts have tickets for pages", ErrUnknownAccount, ticket.AppID)
	}
	key := ticket.account().Key()
	_, err := b.entryOf(ctx, key)
	return key, err
}

func unknown(appID string) error { return fmt.Errorf("%w: %s", ErrUnknownAccount, appID) }

// load brings the record of key into memory. Load and activation happen under the
// key's lock, so that there is never a second entry.
func (b *Broker) load(ctx context.Context, key Key) (*entry, error) {
	defer b.locks.one(key)()
	if e := b.inMemory(key); e != nil {
		return e, nil
	}
	rec, err := b.records.load(ctx, key)
	if err != nil {
		return nil, err
	}
	if !key.Kind.IsTicket() && (!rec.known() || b.component(key.Component) == nil) {
		return nil, unknown(key.AppID)
	}
	return b.activate(key, rec, false), nil
}

// activate makes an entry of a record and schedules it. The key's lock is held.
func (b *Broker) activate(key Key, rec *record, permanent bool) *entry {
	e := newEntry(key)
	e.permanent = permanent
	if !rec.used.IsZero() {
		e.used.Store(rec.used.Unix())
	}
	b.adopt(e, rec)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	t := e.token.Load()
	e.cond = condition{since: now} // unknown: nobody has asked for its token yet
	if ev := eventOf(rec, t.Alive(now)); t.Alive(now) || permanent || ev.what != happenedDue {
		e.cond = e.turned(ev, now)
	}
	if ev, used := quotaOf(rec, t.Alive(now), now); used && rec.quotaMet.After(b.resetAt) {
		e.quotaMet, e.cond = rec.quotaMet, e.turned(ev, now)
	}
	b.active[key] = e
	if b.idle(e, now) {
		e.touch(now, 0) // who brings it back is about to use it; it must not be dropped before
	}
	switch {
	case t.Alive(now):
		b.place(e, later(due(t, rec.fullLife, b.opts.RenewAt, b.opts.Rand()), e.cond.notBefore), false)
	case permanent:
		b.place(e, later(now, e.cond.notBefore), true)
	default:
		b.place(e, now.Add(2*e.life()), false) // a call brings it forward; without one it is dropped then
	}
	b.cache.set(e)
	return e
}

// eventOf is what a record says of its key at the moment it is loaded. A verdict
// is checked again at the next call.
func eventOf(rec *record, alive bool) event {
	ev := event{what: happenedDue, alive: alive, reason: rec.reason, errcode: rec.errcode}
	switch rec.verdict {
	case StateUnauthorized:
		ev.what = happenedRevoked
	case StateNeedsAuthorization:
		ev.what = happenedRefreshVoid
	}
	return ev
}
