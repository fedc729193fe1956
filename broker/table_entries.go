package broker

import (
	"hash/maphash"
	"iter"
)

// entries are the entries in use, by key. A map of hashes takes a third of what one of keys
// does. What shares its hash with another lies apart, and is found all the same. They are the
// table's, and guarded by its lock.
type entries struct {
	seed   maphash.Seed
	byHash map[uint64]*entry
	shared map[Key]*entry // whose hash was taken; nil for none
}

func newEntries() entries { return entries{seed: maphash.MakeSeed(), byHash: map[uint64]*entry{}} }

func (s *entries) hash(key Key) uint64 { return maphash.Comparable(s.seed, key) }

// find returns the entry of key, or nil.
func (s *entries) find(key Key) *entry {
	if e := s.byHash[s.hash(key)]; e != nil && e.key == key {
		return e
	}
	return s.shared[key]
}

// add adds an entry of a key that has none.
func (s *entries) add(e *entry) { s.addAt(s.hash(e.key), e) }

func (s *entries) addAt(hash uint64, e *entry) {
	if s.byHash[hash] == nil {
		s.byHash[hash] = e
		return
	}
	if s.shared == nil {
		s.shared = map[Key]*entry{}
	}
	s.shared[e.key] = e
}

func (s *entries) remove(e *entry) {
	if hash := s.hash(e.key); s.byHash[hash] == e {
		delete(s.byHash, hash)
		return
	}
	delete(s.shared, e.key)
}

func (s *entries) size() int { return len(s.byHash) + len(s.shared) }

// all yields every entry that is there all the time; like a map they may change meanwhile.
func (s *entries) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, e := range s.byHash {
			if !yield(e) {
				return
			}
		}
		for _, e := range s.shared {
			if !yield(e) {
				return
			}
		}
	}
}
