package broker

import (
	"context"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// Components returns the appids of the configured components. The caller must not change
// the slice.
func (b *Broker) Components() []string { return b.env.config.Load().components }

// Secret returns the configured secret of a component or an own account, and
// false for any other appid.
func (b *Broker) Secret(appID string) (secret.Text, bool) {
	secrets := b.env.config.Load().secrets
	for _, kind := range []Kind{KindComponent, KindAccount} {
		if s, ok := secrets[Key{Kind: kind, AppID: appID}]; ok {
			return s, true
		}
	}
	return secret.Text{}, false
}

// SetConfig replaces the configured components and accounts. Those that stay keep
// their tokens; a changed secret is used from the next renewal on, and lets a key
// that was misconfigured be tried at once. It fails when the store cannot be read,
// and then changes nothing.
func (b *Broker) SetConfig(components []ComponentConfig, accounts []AccountConfig) error {
	old, next := b.env.config.Load(), newConfiguration(components, accounts)
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	platforms, err := b.loadComponents(ctx, next)
	if err != nil {
		return err
	}
	recs, err := b.loadConfigured(ctx, next)
	if err != nil {
		return err
	}
	gone := b.components.list()
	b.components.all.Store(&platforms)
	b.env.config.Store(next)
	b.directory.changed()
	b.dropUnconfigured(gone, next)
	for key, rec := range recs {
		unlock := b.ledger.lock(key)
		if b.table.inUse(key) == nil {
			b.table.activate(key, rec)
		}
		unlock()
	}
	b.retryChanged(old, next)
	b.beginComponents()
	return nil
}

// loadComponents returns the components of next: those that run already, and those that
// are new with what the store has of them.
func (b *Broker) loadComponents(ctx context.Context, next *configuration) (map[string]*component, error) {
	all := map[string]*component{}
	for _, appID := range next.components {
		c := b.components.get(appID)
		if c == nil {
			var err error
			if c, err = newComponent(ctx, b.directory, &b.stray, appID); err != nil {
				return nil, err
			}
		}
		all[appID] = c
	}
	return all, nil
}

// loadConfigured reads the records of those that are not in memory yet.
func (b *Broker) loadConfigured(ctx context.Context, next *configuration) (map[Key]*record, error) {
	recs := map[Key]*record{}
	for key := range next.secrets {
		if b.table.inUse(key) != nil {
			continue
		}
		rec, _, err := b.ledger.load(ctx, key)
		if err != nil {
			return nil, err
		}
		recs[key] = rec
	}
	return recs, nil
}

// dropUnconfigured drops what is no longer configured. Records stay in the store.
func (b *Broker) dropUnconfigured(old map[string]*component, next *configuration) {
	for appID, c := range old {
		if !next.isComponent(appID) {
			b.env.metrics.TicketAge(appID, nil)
			c.end()
		}
	}
	dropped := b.table.dropUnconfigured(func(key Key) bool {
		if key.Component != "" {
			return !next.isComponent(key.Component)
		}
		return !key.Kind.IsTicket() && !next.has(key)
	})
	b.ledger.forgetUnsaved(dropped)
}

// retryChanged has the keys whose secret changed tried at once.
func (b *Broker) retryChanged(old, next *configuration) {
	for key, value := range next.secrets {
		if before, known := old.secrets[key]; known && !before.Equal(value) {
			b.Renew(key)
		}
	}
}

// beginComponents starts those that do not run yet, if the broker runs.
func (b *Broker) beginComponents() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.components.list() {
		b.env.metrics.TicketAge(c.appID, c.ticketAge)
		if b.ctx != nil {
			c.begin(b.ctx, &b.tasks)
		}
	}
}

// tokenCame has done what waits for the token of a component.
func (b *Broker) tokenCame(component string) {
	if c := b.components.get(component); c != nil {
		c.wakeUp()
	}
	b.inbox.wakeUp()
}
