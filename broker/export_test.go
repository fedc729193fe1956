package broker

import (
	"context"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Seed is what a test puts into a store as if an earlier run had left it there.
type Seed struct {
	Key                   Key
	Token, Refresh        string
	Generation            uint64
	Obtained, Dies        time.Time
	Authorized, Used      time.Time
	NeedsNewAuthorization bool
}

// Write returns the seed as a write of a new record, sealed by ring.
func (s Seed) Write(ring *seal.Keyring) store.Write {
	r := &record{
		generation: s.Generation, token: secret.New(s.Token), refreshToken: secret.New(s.Refresh),
		obtained: s.Obtained, dies: s.Dies, fullLife: s.Dies.Sub(s.Obtained), authorized: s.Authorized, used: s.Used,
	}
	if s.NeedsNewAuthorization {
		r.judge(StateNeedsAuthorization, s.Obtained, "it says so in the store", 0)
	}
	plain, err := r.encode()
	if err != nil {
		panic(err)
	}
	name := s.Key.String()
	return store.Write{Name: name, Record: store.Record{Generation: s.Generation, Sealed: ring.Seal(name, s.Generation, plain)}}
}

// Canary returns the first record of a store as a write.
func Canary(ring *seal.Keyring) store.Write {
	return store.Write{Name: canaryName, Record: store.Record{Generation: 1, Sealed: ring.Seal(canaryName, 1, []byte(canaryText))}}
}

// AwaitCache waits until the cache has done what it was told, as far as it will.
func (b *Broker) AwaitCache() { b.table.cache.entries.Wait() }

// Epoch returns the epoch of what is known of accounts.
func (b *Broker) Epoch() uint64 { return b.env.epoch.Load() }

// FindAuthorizations looks for the authorizers of an appid, for a call that began at epoch.
func (b *Broker) FindAuthorizations(appID string, epoch uint64) error {
	_, err := b.directory.authorizations(context.Background(), appID, "", epoch)
	return err
}

// Cached reports whether the next Token of key needs no lock.
func (b *Broker) Cached(key Key) bool { return b.table.cache.get(&key) != nil }

// InUse returns how many keys memory holds.
func (b *Broker) InUse() int { return b.table.size() }

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries.size()
}

// Orphan reports whether the cache holds an entry of key that memory does not.
func (b *Broker) Orphan(key Key) bool {
	e := b.table.cache.get(&key)
	return e != nil && b.table.inUse(key) != &e.saved
}

// SpendDayOf uses up the budget of forced renewals that key has for the day.
func (b *Broker) SpendDayOf(key Key) { b.table.spendDay(key) }

func (t *table) spendDay(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	budget := &t.entries.find(key).makeMishapsLocked().quota.forced
	budget.take(t.clock.Now(), 1)
	budget.used = 1 << 30
}

// Faulty returns how many calls are remembered of key as at fault, and the length of the
// longest of their paths.
func (b *Broker) Faulty(key Key) (calls, longest int) {
	all := b.table.entry(key).calls.faulty.calls.Load()
	for path := range *all {
		longest = max(longest, len(path))
	}
	return len(*all), longest
}
