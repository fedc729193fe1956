package broker

import (
	"context"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// SetConfig replaces the configured components and accounts. Those that stay keep
// their tokens; a changed secret is used from the next renewal on, and lets a key
// that was misconfigured be tried at once. It fails when the store cannot be read,
// and then changes nothing.
func (b *Broker) SetConfig(components []ComponentConfig, accounts []AccountConfig) error {
	old := b.config.Load()
	next := &configuration{components: map[string]*component{}, secrets: map[Key]secret.Text{}}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	for _, c := range components {
		next.secrets[componentKey(c.AppID)] = c.Secret
		if known := old.components[c.AppID]; known != nil {
			next.components[c.AppID] = known
			continue
		}
		made, err := b.newComponent(ctx, c.AppID)
		if err != nil {
			return err
		}
		next.components[c.AppID] = made
	}
	for _, a := range accounts {
		next.secrets[Key{Kind: KindAccount, AppID: a.AppID}] = a.Secret
	}
	recs, err := b.loadConfigured(ctx, next)
	if err != nil {
		return err
	}
	b.config.Store(next)
	b.directory.changed()
	b.retire(old, next)
	for key, rec := range recs {
		unlock := b.locks.one(key)
		b.activate(key, rec, true)
		unlock()
	}
	b.retry(old, next)
	for _, c := range next.components {
		b.metrics.TicketAge(c.appID, b.ticketAge(c))
		b.mu.Lock()
		running := b.ctx != nil
		b.mu.Unlock()
		if running {
			b.startLookingAfter(c)
		}
	}
	return nil
}

func (b *Broker) newComponent(ctx context.Context, appID string) (*component, error) {
	c := &component{appID: appID, wake: make(chan struct{}, 1), listed: make(chan struct{}), listing: listing{turn: make(chan struct{}, 1)}}
	plain, generation, err := b.records.read(ctx, platformName(appID))
	if err != nil {
		return nil, err
	}
	c.last = decodePlatform(generation, plain)
	if !c.last.listed.IsZero() {
		c.markListed()
	}
	return c, nil
}

// loadConfigured reads the records of those that are not in memory yet.
func (b *Broker) loadConfigured(ctx context.Context, next *configuration) (map[Key]*record, error) {
	recs := map[Key]*record{}
	for key := range next.secrets {
		if b.inMemory(key) != nil {
			continue
		}
		rec, err := b.records.load(ctx, key)
		if err != nil {
			return nil, err
		}
		recs[key] = rec
	}
	return recs, nil
}

// retire lets go of what is no longer configured. Records stay in the store.
func (b *Broker) retire(old, next *configuration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key := range old.secrets {
		if _, stays := next.secrets[key]; !stays && b.active[key] != nil {
			b.active[key].permanent = false
			b.retireOne(b.active[key])
		}
	}
	for appID, c := range old.components {
		if next.components[appID] != nil {
			continue
		}
		b.metrics.TicketAge(appID, nil)
		if c.stop != nil {
			c.stop()
			c.stop = nil
		}
		for key, e := range b.active {
			if key.Component == appID {
				b.drop(e)
			}
		}
	}
}

// retireOne lets go of a key and of the tickets for pages that are given for it: nobody
// would know whose they are. Broker.mu is held.
func (b *Broker) retireOne(e *entry) {
	b.drop(e)
	for _, kind := range []Kind{KindJSAPITicket, KindWXCardTicket} {
		if ticket := b.active[e.key.account().TicketKey(kind)]; ticket != nil {
			b.drop(ticket)
		}
	}
}

// retry has the keys whose secret changed tried at once.
func (b *Broker) retry(old, next *configuration) {
	for key, value := range next.secrets {
		if before, known := old.secrets[key]; known && !before.Equal(value) {
			b.Renew(key)
		}
	}
}

// Renew has the key renewed now, whatever its condition: an operator says that
// the cause is cured. It also ends what budgets of token calls stand against it:
// the key's, that of all keys together, and the breaker of its kind. It does not
// wait, and does nothing for a key that is not in use.
func (b *Broker) Renew(key Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.active[key]
	if e == nil {
		return
	}
	now := b.clock.Now()
	b.breakers[key.Kind].reset()
	e.spent, b.spent, e.quotaMet = dayBudget{}, dayBudget{}, time.Time{}
	b.goOn(0)
	if c := b.component(key.AppID); c != nil && key.Kind == KindComponent {
		c.unbar()
		b.attend(key.AppID)
	}
	b.tryAgain(e, now, true)
}
