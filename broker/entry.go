package broker

import (
	"sync/atomic"
	"time"
)

// entry is what memory holds of one key: a stable pointer whose inside is
// swapped. There is at most one entry of a key at a time, in Broker.active; the
// cache in front of it holds the same pointer.
//
// Small fields stand together, so that it takes 576 bytes, one of the allocator's sizes:
// calls to many keys touch as many entries, and larger ones cost them cache misses.
type entry struct {
	key       Key
	permanent bool // configured: never dropped for being idle
	unsaved   bool // rec is ahead of the store; guarded by the key's lock in Broker.locks

	// Read by every call, without a lock.
	token atomic.Pointer[Token]
	sole  atomic.Uint64 // see directory.go
	used  atomic.Int64  // unix seconds of the last call, WeChat's time
	calls keyCalls

	// Guarded by the key's lock in Broker.locks.
	rec     *record
	refused *firstTry // of the renewal under way alone; nil for none

	// Guarded by Broker.mu.
	cond      condition
	usedSaved int64         // the last use that the store knows, unix seconds
	fullLife  time.Duration // the longest life seen of its tokens
	suspect   *Token        // rejected by WeChat and held back while its successor is awaited
	rejected  uint64        // the generation that WeChat rejected and that is served for want of a better; 0: none
	unchanged uint64        // the generation that a forced renewal brought back unchanged; 0: none
	doubted   uint64        // the generation that was refused last; 0: none
	idle      int64         // when it was first refused since it last served a call, unix nanoseconds
	forces    dayBudget
	forceAt   time.Time // when a force_refresh is allowed again
	forced    forcedBudget
	spent     dayBudget
	quotaMet  time.Time // when WeChat last answered 45009; zero after a call that went well
	freed     time.Time // when the end of an outage last had it tried ahead of its backoff
	// The last calls beyond spent, see overrun.
	overrunForced, overrunDue time.Time
	due                       time.Time
	queue                     *queue // where it waits, nil for nowhere
	index                     int    // in queue
	stopped                   bool   // by its kind's breaker or the day's budget of all, not by its own doing
	running                   bool
	again                     bool // a ticket or an operator's word came while running
	waiters                   int
	blockedOn                 *entry              // whose token it needs first; nil for none
	dependents                map[*entry]struct{} // those blocked on this one
	changed                   chan struct{}       // closed at the next change, for waiters
}

func newEntry(key Key) *entry { return &entry{key: key, changed: make(chan struct{})} }

// touch notes a call at now, coarsely for a token that lives long: a store to a
// shared cache line on every call would cost more than the rest.
func (e *entry) touch(now time.Time, life time.Duration) {
	coarse := min(30, int64(life/(240*time.Second)))
	if sec := now.Unix(); sec-e.used.Load() > coarse {
		e.used.Store(sec)
	}
}

func (e *entry) lastUsed() time.Time {
	sec := e.used.Load()
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

// life returns the longest life seen of the key's tokens, to scale windows by: WeChat
// may have told of the one held only what was left of it. Broker.mu is held.
func (e *entry) life() time.Duration {
	life := e.fullLife
	if t := e.token.Load(); t != nil {
		life = max(life, t.Life())
	}
	if life <= 0 {
		return fullLife
	}
	return life
}

// presentLife returns the life of the token held, by which the calls that a day needs
// are reckoned: WeChat may have come to give shorter ones. For an own account it is
// [entry.life], as stable_token tells what is left of a token. Broker.mu is held.
func (e *entry) presentLife() time.Duration {
	t := e.token.Load()
	if t == nil {
		t = e.suspect
	}
	if t == nil || e.key.Kind == KindAccount {
		return e.life()
	}
	return t.Life()
}

// authorized reports whether the merchant's authorization is in force, as far as is
// known. Broker.mu is held.
func (e *entry) authorized() bool {
	return e.cond.trouble != StateUnauthorized && e.cond.trouble != StateNeedsAuthorization
}

// announce wakes everybody who waits for a change. Broker.mu is held.
func (e *entry) announce() {
	close(e.changed)
	e.changed = make(chan struct{})
}
