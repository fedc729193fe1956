package broker

import (
	"hash/maphash"
	"sync"
)

// keyLocks are locks for any number of keys in little memory: keys that share a
// lock wait for each other, which costs time, never correctness. Whoever takes
// several takes them by [keyLocks.all].
type keyLocks struct {
	seed  maphash.Seed
	locks [256]sync.Mutex
}

func newKeyLocks() *keyLocks { return &keyLocks{seed: maphash.MakeSeed()} }

func (k *keyLocks) index(key Key) int {
	return int(maphash.Comparable(k.seed, key) % uint64(len(k.locks)))
}

// one locks key and returns what unlocks it.
func (k *keyLocks) one(key Key) func() {
	l := &k.locks[k.index(key)]
	l.Lock()
	return l.Unlock
}

// all locks the keys, in one order for everybody, and returns what unlocks them.
func (k *keyLocks) all(keys []Key) func() {
	var wanted [256]bool
	for _, key := range keys {
		wanted[k.index(key)] = true
	}
	for i, w := range wanted {
		if w {
			k.locks[i].Lock()
		}
	}
	return func() {
		for i, w := range wanted {
			if w {
				k.locks[i].Unlock()
			}
		}
	}
}
