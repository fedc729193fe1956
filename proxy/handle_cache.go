package proxy

import (
	"hash/maphash"
	"sync"
)

// handleCache has the handles that were verified, so that a call costs a lookup instead of
// a MAC. What a call reads of one lies together: with many accounts each place of its own in
// memory is a wait for it. The zero value is empty. It is safe for concurrent use.
type handleCache struct {
	mu sync.RWMutex
	m  map[uint64]*handle // by the hash of the text; of two with one hash it has the last
}

// hashSeed is of the hashes of handles and appids.
var hashSeed = maphash.MakeSeed()

const (
	maxHandles = 1 << 17
	// longestKept is what handles of appids as WeChat has them take at most. Longer ones are
	// verified each time.
	longestKept = len(handlePrefix) + len("a_") + 2*(appIDLength+len("_")) + macText
)

func (c *handleCache) get(text []byte) *handle {
	hash := maphash.Bytes(hashSeed, text)
	c.mu.RLock()
	h := c.m[hash]
	c.mu.RUnlock()
	if h != nil && string(h.text[:h.length]) == string(text) {
		return h
	}
	return nil
}

func (c *handleCache) put(text []byte, h *handle) {
	if len(text) > longestKept {
		return
	}
	h.length = uint8(copy(h.text[:], text))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxHandles {
		c.m = map[uint64]*handle{}
	}
	c.m[maphash.Bytes(hashSeed, text)] = h
}
