package broker

import (
	"context"
	"sort"
	"time"
)

// AccountStatus says how an account is, or a component.
type AccountStatus struct {
	KeyStatus
	// Component is the appid of the component that an authorizer authorised.
	Component string `json:"component,omitempty"`
	// InUse says that it is kept fresh: it is configured, or was called lately. What is not
	// in use is renewed by its next call, and what is said of it is what the store knows.
	InUse bool `json:"in_use"`
	// Renewing says that a renewal is under way, NextRenewal when the next is due, and
	// WaitsFor which key's token is needed first. Waiting is how many callers wait.
	Renewing    bool       `json:"renewing,omitempty"`
	NextRenewal *time.Time `json:"next_renewal,omitempty"`
	WaitsFor    string     `json:"waits_for,omitempty"`
	Waiting     int        `json:"waiting,omitempty"`
	// Displaced says that its tokens are rejected although they are fresh: somebody
	// outside renews it too.
	Displaced bool `json:"displaced,omitempty"`
	// Unsaved says that the store has not taken what is in force.
	Unsaved      bool       `json:"unsaved,omitempty"`
	LastUsed     *time.Time `json:"last_used,omitempty"`
	AuthorizedAt *time.Time `json:"authorized_at,omitempty"`
	// Tickets are those for the account's pages, where one account is shown.
	Tickets []KeyStatus `json:"tickets,omitempty"`

	key Key
}

// Key returns the key of the account's own token.
func (s *AccountStatus) Key() Key { return s.key }

// accounts returns how those of keys are that are in use.
func (t *table) accounts(keys []Key) map[Key]AccountStatus {
	all := make(map[Key]AccountStatus, len(keys))
	for key, s := range t.accountsIn(keys, "") {
		all[key] = *s
	}
	return all
}

// accountsIn returns how those of keys are that are in use: nil for one that is not in the
// state, which is as in [AccountQuery].
func (t *table) accountsIn(keys []Key, state string) map[Key]*AccountStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	all := make(map[Key]*AccountStatus, len(keys))
	for _, key := range keys {
		switch e := t.entries.find(key); {
		case e == nil:
		case t.isInLocked(e, state, now):
			s := t.accountLocked(e, now)
			all[key] = &s
		default:
			all[key] = nil
		}
	}
	return all
}

// isInLocked reports whether e shows as in the state.
func (t *table) isInLocked(e *entry, state string, now time.Time) bool {
	switch {
	case state == "":
		return true
	case state == AnyTrouble:
		return e.cond.trouble != StateUnknown
	case e.liveLocked(now):
		return state == StateLive.String()
	default:
		return state != StateLive.String() && state == t.stateErrorLocked(e, now).State.String()
	}
}

func (t *table) accountLocked(e *entry, now time.Time) AccountStatus {
	s := AccountStatus{
		KeyStatus: t.statusLocked(e, now), key: e.key, Component: e.key.Component, InUse: true,
		Renewing: e.renewal.running, Waiting: int(e.renewal.waiters), Displaced: e.displacedLocked(now), Unsaved: e.saved.unsaved.Load(),
		LastUsed: shownTime(e.lastUsed()),
	}
	if e.queued.in != nil {
		s.NextRenewal = shownTime(e.queued.due.time())
	}
	if e.blocking.on != nil {
		s.WaitsFor = e.blocking.on.key.String()
	}
	return s
}

// displacedLocked reports whether rejections have used up the renewals that they may force.
func (e *entry) displacedLocked(now time.Time) bool {
	left := e.mishapsLocked().rejection.forced // a copy: looking spends nothing
	return left.spent > 0 && !left.take(now, e.lifeLocked())
}

// shownTime returns t for people and for JSON, nil for the zero time.
func shownTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// passPart is how many entries are looked at without giving the lock away.
const passPart = 1000

// each calls f with every entry, which f may look into but not change. Others have their turn
// now and then: f sees every entry that is there all the time, and may miss others.
func (t *table) each(f func(e *entry)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := 0
	for e := range t.entries.all() { // a map may change while it is ranged over, at any time but during a step
		f(e)
		if seen++; seen%passPart == 0 {
			t.mu.Unlock()
			t.mu.Lock()
		}
	}
}

// keysInUse returns the keys in use that match and are in the state, in the order of their
// names.
func (t *table) keysInUse(match func(Key) bool, state string) []Key {
	type named struct {
		name string
		key  Key
	}
	var found []named
	now := t.clock.Now()
	t.each(func(e *entry) {
		if match(e.key) && t.isInLocked(e, state, now) {
			found = append(found, named{e.key.String(), e.key})
		}
	})
	sort.Slice(found, func(i, j int) bool { return found[i].name < found[j].name })
	keys := make([]Key, len(found))
	for i, f := range found {
		keys[i] = f.key
	}
	return keys
}

// awaitRenewal waits until no renewal of key is under way or about to begin, and reports
// whether that came to be before ctx ended.
func (t *table) awaitRenewal(ctx context.Context, key Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		e := t.entries.find(key)
		if e == nil || !e.renewal.running && (e.queued.in == nil || e.queued.due > instantOf(t.clock.Now())) {
			return true
		}
		changed := e.changedLocked()
		t.mu.Unlock()
		select {
		case <-changed:
			t.mu.Lock()
		case <-ctx.Done():
			t.mu.Lock()
			return false
		}
	}
}

// outageReason returns why nothing is renewed at the moment; empty while renewals go on.
func (t *table) outageReason() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.outage.paused {
		return ""
	}
	return t.outage.reason()
}

// outageSince returns when that began, by our own clock; the zero time while renewals go on.
func (t *table) outageSince() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outage.since
}

// drop forgets a key; whoever waits for it asks anew.
func (t *table) drop(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries.find(key); e != nil {
		t.dropLocked(e)
	}
}
