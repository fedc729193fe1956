package proxy

import (
	"sync"
	"sync/atomic"
)

// The default limits.
const (
	DefaultMaxInflight           = 16384
	DefaultMaxInflightPerAccount = 1024
	DefaultReplayBody            = 10 << 20
	DefaultReplayMemory          = 64 << 20
)

// Limits bounds what the apps can take at once. A zero field means its default.
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
	// ReplayMemory is how many bytes all calls together keep of their bodies; those
	// of more than 64 KiB take at most three quarters of it. When it is used up it is
	// with further bodies as with longer ones.
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

// slot counts the calls of one account that are under way.
type slot struct {
	appid string
	n     atomic.Int64
}

// inflight counts the calls that are under way, in all and by account. Accounts
// are known to the broker, so that there are no more entries than accounts.
type inflight struct {
	all        atomic.Int64
	max        int64
	perAccount int64

	mu    sync.RWMutex
	slots map[string]*slot
}

func newInflight(l Limits) *inflight {
	return &inflight{max: int64(l.MaxInflight), perAccount: int64(l.MaxInflightPerAccount), slots: map[string]*slot{}}
}

// enter counts a call; the caller must call leave when it got no fault.
func (i *inflight) enter() *fault {
	if i.all.Add(1) <= i.max {
		return nil
	}
	i.all.Add(-1)
	return tooMany("too many calls at once (limits.max_inflight): make fewer, or raise it")
}

func (i *inflight) leave() { i.all.Add(-1) }

// enterAccount counts a call of an account; the caller must give the slot back.
func (i *inflight) enterAccount(appid string) (*slot, *fault) {
	s := i.slotOf(appid)
	if s.n.Add(1) <= i.perAccount {
		return s, nil
	}
	s.n.Add(-1)
	return nil, tooMany("too many calls of the account " + appid + " at once (limits.max_inflight_per_account): make fewer, or raise it")
}

func (s *slot) leave() { s.n.Add(-1) }

// name returns appid as a text that may be kept. For an account that has called
// before it is the one kept here, so that a call does not allocate its name.
func (i *inflight) name(appid []byte) string {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if s := i.slots[string(appid)]; s != nil {
		return s.appid
	}
	return string(appid)
}

func (i *inflight) slotOf(appid string) *slot {
	i.mu.RLock()
	s := i.slots[appid]
	i.mu.RUnlock()
	if s != nil {
		return s
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if s = i.slots[appid]; s == nil {
		s = &slot{appid: appid}
		i.slots[appid] = s
	}
	return s
}
