package proxy

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/wxsidecar/wxsidecar/broker"
)

// The default limits.
const (
	DefaultMaxInflight           = 16384
	DefaultMaxInflightPerAccount = 1024
	DefaultReplayBody            = 10 << 20
	DefaultReplayMemory          = 64 << 20
)

// Limits bounds what the apps can use at once. A zero field means its default.
type Limits struct {
	// MaxInflight is how many calls may be under way in all.
	MaxInflight int
	// MaxInflightPerAccount is how many of them may be one account's, so that a
	// busy one leaves room for the others.
	MaxInflightPerAccount int
	// ReplayBody is the longest body, in bytes, that is kept to be sent again. A
	// longer one is passed on without being kept if it has a Content-Length, and
	// refused if it is chunked.
	ReplayBody int
	// ReplayMemory is how many bytes of their bodies all calls together keep. Bodies of
	// more than 64 KiB take at most three quarters of it. When it is used up, further
	// bodies are treated like those that are longer than ReplayBody.
	ReplayMemory int
}

func (l Limits) withDefaults() Limits {
	set := func(n *int, fallback int) {
		if *n == 0 {
			*n = fallback
		}
	}
	set(&l.MaxInflight, DefaultMaxInflight)
	set(&l.MaxInflightPerAccount, DefaultMaxInflightPerAccount)
	set(&l.ReplayBody, DefaultReplayBody)
	set(&l.ReplayMemory, DefaultReplayMemory)
	return l
}

// slot counts the calls in flight of one appid, and remembers its account. It is 64 bytes, a line of
// a processor's cache: with many accounts each place of its own in memory is a wait for it.
type slot struct {
	appid string
	text  [appIDLength]byte // appid again, where a look-up reads it; of no length if it is longer
	short uint8             // its length
	n     atomic.Int64
	// known is the account that the broker's memory last had under appid; nil for none.
	known atomic.Pointer[broker.Known]
	next  *slot // the one before of the same hash; nil for none, as nearly always
}

func newSlot(appid string, next *slot) *slot {
	s := &slot{appid: appid, next: next}
	if len(appid) <= len(s.text) {
		s.short = uint8(copy(s.text[:], appid))
	}
	return s
}

// is reports whether s is the slot of appid.
func (s *slot) is(appid []byte) bool {
	if s.short > 0 {
		return string(s.text[:s.short]) == string(appid)
	}
	return s.appid == string(appid)
}

// among returns the slot of appid among s and those of the same hash, or nil.
func (s *slot) among(appid []byte) *slot {
	for s != nil && !s.is(appid) {
		s = s.next
	}
	return s
}

// Dropped implements [broker.Mark].
func (s *slot) Dropped(k *broker.Known) { s.known.CompareAndSwap(k, nil) }

// inflight counts the calls in flight, in all and by account. Only accounts that the broker knows,
// or whose handle is of ours, have a slot, so that apps cannot grow the map. It is safe for
// concurrent use.
type inflight struct {
	all        atomic.Int64
	max        int64
	perAccount int64

	mu    sync.RWMutex
	slots map[uint64]*slot // by the appid's hash
}

func newInflight(l Limits) *inflight {
	return &inflight{max: int64(l.MaxInflight), perAccount: int64(l.MaxInflightPerAccount), slots: map[uint64]*slot{}}
}

// acquire counts a call. If it returns no fault, release must be called.
func (i *inflight) acquire() *fault {
	if i.all.Add(1) <= i.max {
		return nil
	}
	i.all.Add(-1)
	return tooMany("too many calls at once (limits.max_inflight): make fewer, or raise it")
}

func (i *inflight) release() { i.all.Add(-1) }

// acquireAccount counts a call of an account. s is its slot, where the call has found it already;
// else nil. If acquireAccount returns no fault, the slot must be released.
func (i *inflight) acquireAccount(appid string, s *slot) (*slot, *fault) {
	if s == nil {
		s = i.slotOf(appid)
	}
	if s.n.Add(1) <= i.perAccount {
		return s, nil
	}
	s.n.Add(-1)
	return nil, tooMany("too many calls of the account " + appid + " at once (limits.max_inflight_per_account): make fewer, or raise it")
}

func (s *slot) release() { s.n.Add(-1) }

// find returns the slot of appid, or nil: for one of which no call was counted and no handle kept.
func (i *inflight) find(appid []byte) *slot {
	hash := maphash.Bytes(hashSeed, appid)
	i.mu.RLock()
	s := i.slots[hash]
	i.mu.RUnlock()
	return s.among(appid)
}

// intern returns appid as a string. For an account that has a slot it returns the string of that,
// and the slot, so that the hit path does not allocate.
func (i *inflight) intern(appid []byte) (string, *slot) {
	if s := i.find(appid); s != nil {
		return s.appid, s
	}
	return string(appid), nil
}

// slotAt is slotOf for an account that the broker knows. Each of the two remembers the other, so
// that the next call finds both at once.
func (i *inflight) slotAt(k *broker.Known) *slot {
	s, ok := k.Mark().(*slot)
	if !ok {
		s = i.slotOf(k.Account().AppID)
	}
	if s.known.Load() != k {
		s.known.Store(k)
		k.SetMark(s)
	}
	return s
}

// slotOf returns the slot of an account, which it makes for its first call.
func (i *inflight) slotOf(appid string) *slot {
	text := []byte(appid)
	if s := i.find(text); s != nil {
		return s
	}
	hash := maphash.Bytes(hashSeed, text)
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.slots[hash].among(text)
	if s == nil {
		s = newSlot(appid, i.slots[hash])
		i.slots[hash] = s
	}
	return s
}

// walkPart is how many slots are looked at without giving the lock away.
const walkPart = 1000

// fullest returns how full the slots of the busiest account are. Calls have their turn now and
// then: it may miss an account that comes meanwhile.
func (i *inflight) fullest() float64 {
	i.mu.RLock()
	defer i.mu.RUnlock()
	most, seen := int64(0), 0
	for _, s := range i.slots { // a map may change while it is ranged over, at any time but during a step
		for ; s != nil; s = s.next {
			most = max(most, s.n.Load())
		}
		if seen++; seen%walkPart == 0 {
			i.mu.RUnlock()
			i.mu.RLock()
		}
	}
	return float64(most) / float64(i.perAccount)
}

// showLimits has the metrics show how full the limits are.
func (s *Server) showLimits() {
	s.metrics.Inflight(s.inflight.all.Load)
	s.metrics.Limit("inflight", func() float64 { return float64(s.inflight.all.Load()) / float64(s.inflight.max) })
	s.metrics.Limit("account_inflight", s.inflight.fullest)
	s.metrics.Limit("replay_memory", func() float64 { return float64(s.memory.used.Load()) / float64(s.memory.limit) })
}
