package broker

import (
	"context"
	"fmt"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// onlyAnswer is how many appids of accounts there are, two standing for any more, and
// the one if there is just one.
type onlyAnswer struct {
	appID string
	count int
}

// onlyAccount is [Broker.OnlyAccount].
func (d *directory) onlyAccount(ctx context.Context, c Choice) (Account, error) {
	a, err := d.rememberOnly()
	if err == nil && a.count == 0 {
		unlisted := d.awaitLists(ctx, c.Component)
		if a, err = d.rememberOnly(); err == nil && a.count == 0 {
			err = unlisted
		}
	}
	switch {
	case err != nil:
		return Account{}, err
	case a.count == 1:
		return d.account(ctx, a.appID, c)
	default:
		return Account{}, fmt.Errorf("%w: there is not exactly one account, so the call must name it", ErrUnknownAccount)
	}
}

// rememberOnly returns what there is, from memory or from the store.
func (d *directory) rememberOnly() (onlyAnswer, error) {
	if a := d.only.Load(); a != nil {
		return *a, nil
	}
	epoch := d.epoch.Load()
	a, err := d.findOnly()
	if err != nil {
		return onlyAnswer{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch.Load() == epoch {
		d.only.Store(&a)
	}
	return a, nil
}

// findOnly reads the store until a second appid is found. One whose merchant has
// taken the authorization back counts only if there is no other: calls are to hear of
// that, not that they must name an account.
func (d *directory) findOnly() (onlyAnswer, error) {
	found, gone := map[string]bool{}, map[string]bool{}
	for key := range d.config.Load().secrets {
		if key.Kind == KindAccount {
			found[key.AppID] = true
		}
	}
	add := func(key Key, takenBack bool) {
		switch {
		case key.Kind != KindAuthorizer || !d.config.Load().isComponent(key.Component):
		case !takenBack:
			found[key.AppID] = true
		case len(gone) < 2:
			gone[key.AppID] = true
		}
	}
	inMemory := d.table.takenBack(d.ledger.unsavedKeys())
	for key, takenBack := range inMemory {
		add(key, takenBack)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err := d.ledger.each(ctx, KindAuthorizer, func(key Key, r *record, _ store.Version) bool {
		if _, known := inMemory[key]; !known && r.known() {
			add(key, r.verdict == StateUnauthorized)
		}
		return len(found) < 2
	})
	if len(found) == 0 {
		found = gone
	}
	only := onlyAnswer{count: len(found)}
	for appID := range found {
		only.appID = appID
	}
	return only, err
}
