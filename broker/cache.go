package broker

import (
	"fmt"
	"hash/maphash"

	"github.com/dgraph-io/ristretto/v2"
)

// cache finds the entry of a key without a lock of ours. It may forget anything at any
// time (ristretto drops, rejects and evicts as it likes) and a new entry shows
// only a moment after its Set; Broker.active and the store behind it are what
// counts. Since it holds stable pointers, no token in it is ever stale.
type cache struct {
	entries *ristretto.Cache[string, *entry]
}

// newCache returns a cache for about size entries.
func newCache(size int64) (*cache, error) {
	seed := maphash.MakeSeed()
	r, err := ristretto.NewCache(&ristretto.Config[string, *entry]{
		// Not the usual ten for each entry: they only choose whom to evict, and cost
		// five bytes each from the start. Below two the library panics.
		NumCounters:        max(size, 64),
		MaxCost:            size,
		BufferItems:        64,
		IgnoreInternalCost: true, // else each entry costs 56 more, and a cache of 1,000 keeps 17
		// No second hash: of two names with one hash the cache then keeps whichever
		// came last, and get tells them apart.
		KeyToHash: func(k string) (uint64, uint64) { return maphash.String(seed, k), 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("make the token cache: %w", err)
	}
	return &cache{r}, nil
}

// name is the key's name in the cache: the appid alone wherever no string has to
// be made for it. Two kinds of one appid share a name; get tells them apart.
func (c *cache) name(key Key) string {
	if key.Kind.IsTicket() {
		return key.String()
	}
	return key.AppID
}

// get returns the entry of key, or nil. The key is compared, since a cache that
// keeps only hashes may confuse two.
func (c *cache) get(key Key) *entry {
	if e, ok := c.entries.Get(c.name(key)); ok && e.key == key {
		return e
	}
	return nil
}

// find returns the entry of an account by its appid, or nil.
func (c *cache) find(appID string) *entry {
	if e, ok := c.entries.Get(appID); ok && e.key.AppID == appID {
		return e
	}
	return nil
}

func (c *cache) set(e *entry)    { c.entries.Set(c.name(e.key), e, 1) }
func (c *cache) forget(e *entry) { c.entries.Del(c.name(e.key)) }
func (c *cache) close()          { c.entries.Close() }
