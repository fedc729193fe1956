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
	m  map[uint64]keptHandle // by the hash of the text; of two with one hash it has the last
}

// keptHandle is a handle and its account's slot. Both are found here, and not one by the other, so
// that a call waits for them at once.
type keptHandle struct {
	handle *handle
	slot   *slot
}

// hashSeed is of the hashes of handles and appids.
var hashSeed = maphash.MakeSeed()

const (
	maxHandles = 1 << 17
	// longestKept is what handles of appids as WeChat has them take at most. Longer ones are
	// verified each time.
	longestKept = len(handlePrefix) + len("a_") + 2*(appIDLength+len("_")) + macText
)

// get returns the handle with that text, and its account's slot; nil for none.
func (c *handleCache) get(text []byte) (*handle, *slot) {
	hash := maphash.Bytes(hashSeed, text)
	c.mu.RLock()
	kept := c.m[hash]
	c.mu.RUnlock()
	if kept.handle == nil {
		return nil, nil
	}
	_ = kept.slot.known.Load() // so that the slot comes while the text is waited for
	if h := kept.handle; string(h.text[:h.length]) != string(text) {
		return nil, nil
	}
	return kept.handle, kept.slot
}

// put keeps a handle that was verified, of which slot is the account's.
func (c *handleCache) put(text []byte, h *handle, slot *slot) {
	if len(text) > longestKept {
		return
	}
	h.length = uint8(copy(h.text[:], text))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxHandles {
		c.m = map[uint64]keptHandle{}
	}
	c.m[maphash.Bytes(hashSeed, text)] = keptHandle{h, slot}
}
