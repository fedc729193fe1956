package broker

import (
	"context"
	"errors"
	"slices"
	"time"
)

// known is [Broker.Known].
func (d *directory) known(appID []byte, c Choice) *Known {
	if e := d.table.cache.findBytes(appID); e != nil && e.certain(c) {
		return (*Known)(e)
	}
	return nil
}

// account is [Broker.Account].
func (d *directory) account(ctx context.Context, appID string, c Choice) (Account, error) {
	if c.Component != "" {
		key := authorizerKey(c.Component, appID)
		if e := d.table.cache.get(&key); e != nil {
			return e.key.account(), nil
		}
	}
	epoch := d.epoch.Load()
	e := d.table.cache.find(appID)
	if e != nil && e.certain(c) {
		return e.key.account(), nil
	}
	for _, key := range []Key{{Kind: KindAccount, AppID: appID}, componentKey(appID)} {
		if d.config.Load().has(key) {
			if e != nil && e.key == key {
				e.noteSole(epoch)
			}
			return key.account(), nil
		}
	}
	found, err := d.authorizations(ctx, appID, c.Component, epoch)
	if err == nil && len(found) == 0 {
		unlisted := d.awaitLists(ctx, c.Component)
		if found, err = d.authorizations(ctx, appID, c.Component, epoch); err == nil && len(found) == 0 {
			err = unlisted
		}
	}
	if err == nil && len(found) == 0 {
		found, err = d.awaitPending(ctx, appID, c.Component, epoch)
	}
	switch {
	case err != nil:
		return Account{}, err
	case len(found) == 0:
		d.doubtLists()
		return Account{}, d.notFound(appID, c.Component)
	default:
		return d.choose(appID, found, c)
	}
}

// authorizations returns the authorizers of that appid, of the one component or, if that
// is empty, of all. While the store cannot be read, what is in memory counts if no other
// was known when it could. epoch is from before the caller looked at what comes before them.
func (d *directory) authorizations(ctx context.Context, appID, component string, epoch uint64) ([]*entry, error) {
	var found []*entry
	var failed error
	for _, id := range d.config.Load().components {
		if component != "" && component != id {
			continue
		}
		e, err := d.entryOf(ctx, authorizerKey(id, appID))
		switch {
		case err == nil:
			found = append(found, e)
		case !errors.Is(err, ErrUnknownAccount):
			failed = err
		}
	}
	switch {
	case component != "":
	case len(found) == 1 && failed == nil:
		found[0].noteSole(epoch)
	case len(found) == 1 && !found[0].wasSole():
		return nil, failed
	case len(found) > 1:
		noteShared(found)
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, failed
}

// choose decides which of several authorizations of one merchant is meant.
func (d *directory) choose(appID string, found []*entry, c Choice) (Account, error) {
	found = narrow(found, func(e *entry) bool { return slices.Contains(c.Among, e.key.Component) })
	found = narrow(found, d.table.authorized)
	ambiguous := &AmbiguousError{AppID: appID}
	for _, e := range found {
		if len(found) == 1 || e.key.Component == c.Default {
			return e.key.account(), nil
		}
		ambiguous.Components = append(ambiguous.Components, e.key.Component)
	}
	slices.Sort(ambiguous.Components)
	return Account{}, ambiguous
}

// narrow returns those for which ok holds, or all where it holds for none.
func narrow(all []*entry, ok func(*entry) bool) []*entry {
	some := slices.DeleteFunc(slices.Clone(all), func(e *entry) bool { return !ok(e) })
	if len(some) == 0 {
		return all
	}
	return some
}

// awaitPending waits for an account whose authorization lies in the inbox, as long
// as a caller waits for a token. It returns none for one that is not coming.
func (d *directory) awaitPending(ctx context.Context, appID, component string, epoch uint64) ([]*entry, error) {
	var key Key
	var done <-chan struct{}
	for _, id := range d.config.Load().components {
		k := authorizerKey(id, appID)
		if c := d.pending(k); c != nil && (component == "" || component == id) {
			key, done = k, c
		}
	}
	if done == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	select {
	case <-done:
		return d.authorizations(ctx, appID, component, epoch)
	case <-ctx.Done():
		return nil, &StateError{
			Key: key, State: StateRetrying, RetryAfter: time.Second,
			Reason: "the merchant has just authorised, and the authorization code is still being exchanged",
		}
	}
}

// doubtLists has the lists read again because an app names an account that nobody
// knows: the event of its authorization may have been lost. Mistaken apps cause
// one reading in unknownDoubt, whatever they call.
func (d *directory) doubtLists() {
	now := d.clock.Now()
	d.mu.Lock()
	doubt := now.Sub(d.doubted) > unknownDoubt
	if doubt {
		d.doubted = now
	}
	d.mu.Unlock()
	for _, appID := range d.config.Load().components {
		if doubt {
			d.reconcile(appID)
		}
	}
}

// notFound returns what to say of an appid that nobody knows: a merchant must not be asked to
// authorise because the store is full.
func (d *directory) notFound(appID, component string) error {
	for _, id := range d.config.Load().components {
		key := authorizerKey(id, appID)
		if (component == "" || component == id) && d.refused(key) {
			return &StateError{
				Key: key, State: StateRetrying, RetryAfter: 5 * time.Second,
				Reason: "the merchant has just authorised, but the store could not be written, so that the authorization was not kept; " +
					"the sidecar's log says why: make room or mend the store, and WeChat pushes it again",
			}
		}
	}
	return unknown(appID)
}
