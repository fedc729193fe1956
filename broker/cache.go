package broker

import (
	"fmt"
	"hash/maphash"
	"math/bits"

	"github.com/dgraph-io/ristretto/v2"
)

// cache finds the entry of a key without a lock of ours. It may forget anything at any
// time (ristretto drops, rejects and evicts as it likes) and a new entry shows
// only a moment after its Set; Broker.active and the store behind it are what
// counts. Since it holds stable pointers, no token in it is ever stale.
type cache struct {
	seed    maphash.Seed
	entries *ristretto.Cache[uint64, *entry]
}

// newCache returns a cache for about size entries.
func newCache(size int64) (*cache, error) {
	r, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		// Not the usual ten for each entry: they only choose whom to evict, which is then looked
		// for in the table, and each look-up here reads and writes them at random places. So
		// they are few enough to stay in a processor's own cache.
		NumCounters:        1024,
		MaxCost:            size,
		BufferItems:        64,
		IgnoreInternalCost: true, // else each entry costs 56 more, and a cache of 1,000 keeps 17
		// No second hash: of two names with one hash the cache then keeps whichever
		// came last, and get tells them apart.
		KeyToHash: func(k uint64) (uint64, uint64) { return k, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("make the token cache: %w", err)
	}
	return &cache{maphash.MakeSeed(), r}, nil
}

// name is where the key's entry lies: for an account under its appid alone, so that a
// call that names nothing else finds it; for what shares its appid under its full name.
func (c *cache) name(key Key) uint64 { return maphash.String(c.seed, key.AppID) }

func (c *cache) fullName(key Key) uint64 {
	return c.name(key) ^ bits.RotateLeft64(maphash.String(c.seed, key.Component), 32) ^ uint64(key.Kind)
}

// get returns the entry of key, or nil. The key is compared, since a cache that
// keeps only hashes may confuse two.
func (c *cache) get(key *Key) *entry {
	if e, ok := c.entries.Get(maphash.String(c.seed, key.AppID)); ok && e.key == *key {
		return e
	}
	return c.getFull(key)
}

// getFull is get for what lies under its full name: tickets, and accounts that share their
// appid.
func (c *cache) getFull(key *Key) *entry {
	if e, ok := c.entries.Get(c.fullName(*key)); ok && e.key == *key {
		return e
	}
	return nil
}

// find returns the entry that lies under an appid, or nil: of one of the accounts of
// that appid.
func (c *cache) find(appID string) *entry {
	if e, ok := c.entries.Get(c.name(Key{AppID: appID})); ok && e.key.AppID == appID {
		return e
	}
	return nil
}

// findBytes is find for bytes, of which it keeps nothing.
func (c *cache) findBytes(appID []byte) *entry {
	if e, ok := c.entries.Get(maphash.Bytes(c.seed, appID)); ok && e.key.AppID == string(appID) {
		return e
	}
	return nil
}

func (c *cache) set(e *entry) {
	name := c.name(e.key)
	if held, ok := c.entries.Get(name); e.key.Kind.IsTicket() || ok && held.key != e.key {
		name = c.fullName(e.key)
	}
	c.entries.Set(name, e, 1)
}

// forget drops e, also where its Set does not show yet. That costs another entry of that
// name, whose Set does not show either, its place until it is looked for.
func (c *cache) forget(e *entry) {
	c.entries.Del(c.fullName(e.key))
	if held, ok := c.entries.Get(c.name(e.key)); !ok || held.key == e.key {
		c.entries.Del(c.name(e.key))
	}
}

func (c *cache) close() { c.entries.Close() }
