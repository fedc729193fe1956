package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// entryOf returns the entry of key, from memory or from the store. It returns
// ErrUnknownAccount for an account that neither knows.
func (d *directory) entryOf(ctx context.Context, key Key) (*entry, error) {
	if e := d.table.entry(key); e != nil {
		return e, nil
	}
	if key.Kind.IsTicket() {
		if _, err := d.pageAccount(ctx, key); err != nil {
			return nil, err
		}
	}
	known, epoch := d.knownUnknown(key, d.clock.Now())
	if known {
		return nil, unknown(key.AppID)
	}
	e, err := d.load(ctx, key)
	if errors.Is(err, ErrUnknownAccount) {
		d.noteUnknown(key, d.clock.Now(), epoch)
	}
	return e, err
}

// tokenAfter is [Broker.TokenAfter].
func (d *directory) tokenAfter(ctx context.Context, key Key, generation uint64) (*Token, error) {
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	for {
		e, err := d.entryOf(ctx, key)
		if err != nil {
			return nil, err
		}
		t, err := d.table.await(ctx, e, generation)
		if !errors.Is(err, errDropped) {
			return t, err
		}
	}
}

// pageAccount returns the key of the account that a ticket for pages is derived from, and
// has that in use. It refuses a component, which has no pages: a key made of it could
// never come to life, and each try would have the component's token renewed.
func (d *directory) pageAccount(ctx context.Context, ticket Key) (Key, error) {
	if d.config.Load().isComponent(ticket.AppID) {
		return Key{}, fmt.Errorf("%w: %s is a component, and only accounts have tickets for pages", ErrUnknownAccount, ticket.AppID)
	}
	key := ticket.account().Key()
	_, err := d.entryOf(ctx, key)
	return key, err
}

// load brings the record of key into memory. Load and activation happen under the
// key's lock, so that there is never a second entry.
func (d *directory) load(ctx context.Context, key Key) (*entry, error) {
	defer d.ledger.lock(key)()
	if e := d.table.entry(key); e != nil {
		return e, nil
	}
	rec, _, err := d.ledger.load(ctx, key)
	if err != nil {
		return nil, err
	}
	if !key.Kind.IsTicket() && (!rec.known() || !d.config.Load().isComponent(key.Component)) {
		return nil, unknown(key.AppID)
	}
	return d.table.activate(key, rec), nil
}

// loadInUse brings back the authorizers and tickets that were in use when the last run
// ended, so that they are renewed ahead again. Tickets that an earlier version kept for a
// component, which has no pages, are deleted; records that one wrote when it ran once more
// are renamed.
func (d *directory) loadInUse(ctx context.Context) {
	old := false
	for _, kind := range []Kind{KindAuthorizer, KindJSAPITicket, KindWXCardTicket} {
		var stray []change
		err := d.ledger.each(ctx, kind, func(key Key, r *record, v store.Version) bool {
			switch {
			case kind.IsTicket() && d.config.Load().isComponent(key.AppID):
				stray = append(stray, deletion(key.String(), v))
			case kind == KindAuthorizer && key.Component == "":
				old = true
			case d.clock.Now().Sub(r.used) < 2*max(r.fullLife, r.dies.Sub(r.obtained)) || r.verdict == StateNeedsAuthorization:
				_, _ = d.entryOf(ctx, key) // what cannot be read now is read at its next call
			}
			return ctx.Err() == nil
		})
		if err != nil {
			d.log.Error("the store cannot be listed; accounts are loaded as they are called", "error", err)
		}
		d.ledger.deleteAll(ctx, stray)
	}
	if old {
		d.renameOld(ctx)
	}
}

// renameOld renames the records of an earlier version, and has the keys in use follow.
func (d *directory) renameOld(ctx context.Context) {
	renamed, err := d.ledger.renameOld(ctx, d.config.Load().isOwn)
	for _, key := range renamed {
		if err == nil {
			_, err = d.ledger.update(ctx, key, func(*record) bool { return false })
		}
	}
	if err != nil {
		d.log.Error("accounts that an earlier version kept are asked for from WeChat anew", "error", err)
	}
	d.changed()
}
