package broker_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// The model knows from the simulated WeChat what no sidecar can know, and nothing
// of how the broker works. It says of a call that failed whether any sidecar could
// have made it go well. It could not
//
//   - if WeChat takes no call of the account at all: the merchant took the
//     authorization back, or WeChat voided the refresh token and has no other;
//   - if the news of an authorization is not known yet: it is less than three
//     minutes old (an authorization that no push told of and that is new to the
//     platform is found within six hours);
//   - if WeChat, or the store for a key that is not in memory, failed at that time
//     or within the last two minutes (as long as the longest pause between two
//     attempts lasts) and the token in hand was no good: spoilt by somebody else,
//     replaced by an answer that never came, or an own account's or a page's, of
//     which WeChat gives no new one before the last five minutes;
//   - if the one token call that it made was made to fail.
//
// Every other call must go well: age alone never excuses one, nor does what strikes the
// account's authorization of another component.
type model struct {
	mu       sync.Mutex
	subjects []*subject
	trouble  trouble
	// restarted is when the broker was last restarted.
	restarted time.Time
}

// subject is what the model knows of one key.
type subject struct {
	key broker.Key
	// revoked: WeChat takes no call. void: it takes them until the token dies.
	revoked, void bool
	// heard is when a sidecar must have learnt of the last change.
	heard time.Time
	// hurt is when the token in hand became, or becomes, worthless; zero after a
	// later call that went well.
	hurt time.Time
	used time.Time // the last call that went well
	// since is when the calls began that never paused for long.
	since time.Time
	// revived is when a call first came after a sidecar may have let go of it: its
	// token may have been about to die.
	revived time.Time
	// armed: one token call of the key is yet made to fail. struck is when a call
	// felt it; others may at the same time.
	armed  bool
	struck time.Time
}

// trouble is the time in which WeChat fails.
type trouble struct {
	what  string
	until time.Time
	// component is the one that it meets; empty for everybody.
	component string
	// spoils: tokens are issued that nobody learns of.
	spoils bool
	// storeUntil is when the store works again.
	storeUntil time.Time
}

const (
	// recovery is how long after its cause a trouble may be felt.
	recovery = 2 * time.Minute
	// inMemory is how long after its last call a key is surely renewed ahead: until
	// the next renewal after two lives.
	inMemory = 4 * time.Hour
	// constant is the longest pause between two calls in constant use, and settledIn
	// is after how long of it the store knows.
	constant, settledIn = 45 * time.Minute, 100 * time.Minute
	// overlap is how long a token works after its successor was issued.
	overlap = 5 * time.Minute
	// newsTime is how long the news of an authorization may take.
	newsTime = 3 * time.Minute
)

// meets reports whether the trouble is one of key.
func (t trouble) meets(key broker.Key) bool {
	return t.component == "" || t.component == key.Component || t.component == key.AppID
}

func (t trouble) felt(now time.Time) bool      { return now.Before(t.until.Add(recovery)) }
func (t trouble) storeFelt(now time.Time) bool { return now.Before(t.storeUntil.Add(recovery)) }

// excuseLocked returns why a call of s may have failed, or "".
func (m *model) excuseLocked(s *subject, now time.Time) string {
	idle := m.idleLocked(s, now)
	worthless := !s.hurt.IsZero() || idle || m.trouble.spoils || s.brief()
	switch {
	case s.revoked, s.void:
		return "only the merchant cures it"
	case now.Before(s.heard):
		return "no news yet"
	case m.trouble.felt(now) && m.trouble.meets(s.key) && worthless:
		return m.trouble.what
	case m.trouble.storeFelt(now) && idle:
		return "the store"
	case s.armed:
		s.armed, s.struck = false, now
		return "struck"
	case now.Sub(s.struck) < 10*time.Second:
		return "struck"
	default:
		return ""
	}
}

// idleLocked reports whether a sidecar may have let go of s. A restart forgets the uses
// since the last renewal: then only a key that was in constant use counts.
func (m *model) idleLocked(s *subject, now time.Time) bool {
	if now.Sub(m.restarted) < 4*time.Hour || s.brief() { // two lives of what is left of a ticket are short
		return now.Sub(s.used) > constant || s.used.Sub(s.since) < settledIn
	}
	return now.Sub(s.used) > inMemory || now.Sub(s.revived) < settledIn
}

// brief reports whether WeChat gives a successor only in the last minutes.
func (s *subject) brief() bool { return s.key.Kind == broker.KindAccount || s.key.Kind.IsTicket() }

// took notes how a call that began at start ended, and returns what is wrong.
func (m *model) took(s *subject, start time.Time, code int, err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if code == 0 && err == nil {
		if now.Sub(s.used) > constant {
			s.since = now
		}
		if now.Sub(s.used) > inMemory {
			s.revived = now
		}
		s.used = now
		if s.hurt.Before(start) {
			s.hurt = time.Time{}
		}
		return nil
	}
	if m.excuseLocked(s, now) != "" {
		return nil
	}
	return fmt.Errorf("call of %s at %s, after calls from %s to %s: errcode %d, error %w; hurt %s, last news %s, trouble %q until %s, store until %s",
		s.key, clockOf(now), clockOf(s.since), clockOf(s.used), code, err, clockOf(s.hurt), clockOf(s.heard), m.trouble.what, clockOf(m.trouble.until), clockOf(m.trouble.storeUntil))
}

func clockOf(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.DateTime)
}

// changed notes a change of the authorization, of which a sidecar must know after
// so long.
func (s *subject) changed(after time.Duration) {
	now := time.Now()
	s.hurt = now
	if by := now.Add(after); by.After(s.heard) {
		s.heard = by
	}
}
