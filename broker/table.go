package broker

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// table is the keys in use: their tokens and conditions, who waits for whom, and when
// each is renewed. It starts renewals and takes their outcomes; how one is made is none of
// its business. Its methods are safe for concurrent use. Its lock is the innermost but for
// those of a component: a key's lock in the ledger may be held when it is taken.
type table struct {
	*env
	tableOptions
	cache       *cache
	limiter     *rate.Limiter
	wake        chan struct{} // capacity 1, for schedule
	outageBegan chan struct{} // capacity 1, for watch
	doubted     chan struct{} // capacity 1, for watch: WeChat is to be probed

	mu            sync.Mutex
	entries       entries
	urgent, ahead queue
	running       int
	outage        outage
	budgets       budgets
}

// tableOptions are what a table is told, and the functions by which it reaches the other
// parts; the latter must not block, nor call the table.
type tableOptions struct {
	renewAt   float64       // the share of its life after which a token is renewed
	perSecond float64       // renewals ahead of need
	workers   int           // renewals at once
	wait      time.Duration // how long a caller without a token waits
	// renew begins a renewal, which ends with finish.
	renew func(context.Context, *entry)
	// tokenCame says that a component has a usable token.
	tokenCame func(component string)
	// ticketReason says what is known of a component's tickets.
	ticketReason func(component string, c condition, now time.Time) string
	// answered says that WeChat answers again, after an outage or a short silence.
	answered func(outage bool)
}

func newTable(v *env, o tableOptions, cacheSize int64) (*table, error) {
	c, err := newCache(cacheSize)
	if err != nil {
		return nil, err
	}
	return &table{
		env: v, tableOptions: o, cache: c, limiter: rate.NewLimiter(rate.Limit(o.perSecond), 1),
		wake: make(chan struct{}, 1), outageBegan: make(chan struct{}, 1), doubted: make(chan struct{}, 1), entries: newEntries(),
	}, nil
}

// entry returns the entry of key if it is in use, else nil. It has the cache find it,
// under the lock: else the cache could learn of an entry that was dropped meanwhile.
func (t *table) entry(key Key) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	if e != nil && t.cache.get(&key) != e {
		t.cache.set(e)
	}
	return e
}

// inUse returns what the ledger knows of a key, nil for one that is not in use.
func (t *table) inUse(key Key) *saved {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries.find(key); e != nil {
		return &e.saved
	}
	return nil
}

// usable returns the usable token of key without waiting, or nil.
func (t *table) usable(key Key) *Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	if e == nil {
		return nil
	}
	now := t.clock.Now()
	token := e.usableLocked(now)
	if token != nil {
		e.touch(now, token.Life())
	}
	return token
}

// follow has the entry of key, if there is one, show what its record says.
func (t *table) follow(key Key, rec *record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries.find(key); e != nil {
		t.checkpoint("renewal-swap")
		e.followLocked(rec)
	}
}

func (e *entry) followLocked(rec *record) {
	e.usedSaved, e.fullLife = uint32(max(rec.used.Unix(), 0)), uint32(max(rec.fullLife/time.Second, 0))
	e.followForcedLocked(rec.forced)
	token := rec.tokenOf(e)
	if e.mishaps == nil {
		e.token.Store(token)
		return
	}
	r := &e.mishaps.rejection
	if r.suspect != nil && token != nil && token.Generation == r.suspect.Generation {
		r.suspect = token // rejected, and its successor awaited: the end of the renewal decides
		return
	}
	e.token.Store(token)
	if token == nil || token.Generation != r.rejected {
		r.rejected = 0
	}
	if r.suspect != nil && rec.generation > r.suspect.Generation {
		r.suspect = nil
	}
}

// activate brings a key into use, with what its record says, and schedules it. Only who has
// the ledger's lock of the key does so: there is never a second entry.
func (t *table) activate(key Key, rec *record) *entry {
	config := t.config.Load()
	e, configured := &entry{key: config.owned(key), env: t.env}, config.has(key)
	e.saved.kept = keep(rec)
	rec = e.saved.kept.record() // the token is a part of it
	if !rec.used.IsZero() {
		e.used.Store(rec.used.Unix())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checkpoint("renewal-swap")
	e.followLocked(rec)
	now := t.clock.Now()
	token := e.token.Load()
	alive := token.Alive(now)
	e.cond = condition{since: instantOf(now)} // unknown: nobody has asked for its token yet
	if ev := eventOf(rec, alive); alive || configured || ev.kind != eventDue {
		e.cond = e.nextLocked(ev, now)
	}
	if ev, used := quotaOf(rec, alive, now); used && rec.quotaMet.After(t.budgets.resetAt) {
		e.makeMishapsLocked().quota.met, e.cond = instantOf(rec.quotaMet), e.nextLocked(ev, now)
	}
	t.entries.add(e)
	if t.idleLocked(e, now) {
		e.touch(now, 0) // who brings it back is about to use it; it must not be dropped before
	}
	switch {
	case alive:
		t.scheduleLocked(e, later(due(token, rec.fullLife, t.renewAt, t.rand()), e.cond.notBefore.time()), false)
	case configured:
		t.scheduleLocked(e, later(now, e.cond.notBefore.time()), true)
	default:
		t.scheduleLocked(e, now.Add(2*e.lifeLocked()), false) // a call brings it forward; without one it is dropped then
	}
	t.cache.set(e)
	return e
}

// eventOf is what a record says of its key at the moment it is loaded. A verdict
// is checked again at the next call.
func eventOf(rec *record, alive bool) event {
	ev := event{kind: eventDue, alive: alive, reason: rec.reason, errcode: rec.errcode}
	switch rec.verdict {
	case StateUnauthorized:
		ev.kind = eventRevoked
	case StateNeedsAuthorization:
		ev.kind = eventRefreshVoid
	}
	return ev
}

// authorized reports whether the merchant's authorization of e is in force, as far as is
// known.
func (t *table) authorized(e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return e.cond.trouble != StateUnauthorized && e.cond.trouble != StateNeedsAuthorization
}

// takenBack says of which of the keys that are in use the merchant has taken the
// authorization back.
func (t *table) takenBack(keys []Key) map[Key]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := map[Key]bool{}
	for _, key := range keys {
		if e := t.entries.find(key); e != nil {
			found[key] = e.cond.trouble == StateUnauthorized
		}
	}
	return found
}
