package broker

import (
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// keyQuota is what is known of a key's daily quota of token calls.
type keyQuota struct {
	met     instant   // when WeChat last answered 45009; zero after a call that went well
	stopped bool      // by a breaker, not by its own doing
	forced  dayBudget // renewals that rejections forced
	overrun instant   // when the last one beyond that was made
}

// metToday reports whether WeChat has answered 45009 to the key today.
func (q *keyQuota) metToday(now time.Time) bool {
	return q.met != 0 && chinaDay(q.met.time()) == chinaDay(now)
}

// budgets are what all keys together may spend.
type budgets struct {
	breakers map[quotaGroup]*breaker
	resetAt  time.Time // when an operator last said that quotas were cleared
}

// quotaGroup is the keys that share a breaker: those of one kind, and of one component where
// they are a component's, as WeChat counts each component's calls apart.
type quotaGroup struct {
	kind      Kind
	component string
}

func groupOf(key Key) quotaGroup { return quotaGroup{key.Kind, key.Component} }

// breaker returns the breaker of g. The table's lock guards it as well.
func (b *budgets) breaker(g quotaGroup) *breaker {
	if b.breakers == nil {
		b.breakers = map[quotaGroup]*breaker{}
	}
	if b.breakers[g] == nil {
		b.breakers[g] = &breaker{}
	}
	return b.breakers[g]
}

// quotaMet notes that WeChat answered 45009 to e. Only the day's first counts for
// its group: that a quota is still used up an hour later is no news.
func (t *table) quotaMet(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	q := &e.makeMishapsLocked().quota
	if !q.metToday(now) {
		t.budgets.breaker(groupOf(e.key)).note(e.key, now)
	}
	q.met = instantOf(now)
}

// renewed notes that WeChat gave e a token, and returns when the next is due. unchanged
// says that it was the one in force.
func (t *table) renewed(e *entry, full time.Duration, unchanged bool) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.renewedLocked(e, full, unchanged, t.clock.Now())
}

func (t *table) renewedLocked(e *entry, full time.Duration, unchanged bool, now time.Time) time.Time {
	token := e.token.Load()
	if token == nil {
		token = e.mishapsLocked().rejection.suspect // held back until the renewal ends
	}
	if token == nil {
		return now
	}
	if e.mishaps != nil {
		e.mishaps.quota.met = 0
	}
	if g := groupOf(e.key); t.budgets.breaker(g).succeeded(e.key, now) {
		t.retryStoppedLocked(g)
	}
	next := due(token, full, t.renewAt, t.rand())
	if at := e.renewal.converge; at != 0 {
		return earlier(next, time.Unix(0, at))
	}
	if again := askAgain(token, full, now, t.rand()); unchanged && next.Before(again) {
		return again
	}
	return next
}

// retryStoppedLocked has those of a group, or of every group for the zero one, tried again
// that were stopped for what others did.
func (t *table) retryStoppedLocked(g quotaGroup) {
	for e := range t.entries.all() {
		if m := e.mishaps; m != nil && m.quota.stopped && (g == quotaGroup{} || g == groupOf(e.key)) {
			m.quota.stopped = false
			t.retryLocked(e, false)
		}
	}
}

// retryStopped has every key tried now that an exhausted quota, a budget of ours, a
// breaker or a misconfiguration has stopped. What only the merchant can lift is looked at
// again at the next call.
func (t *table) retryStopped() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.budgets = budgets{resetAt: t.clock.Now()}
	for e := range t.entries.all() {
		e.forgetQuotaLocked()
		stopped := e.cond.trouble == StateQuotaExhausted || e.cond.trouble == StateMisconfigured
		switch {
		case e.renewal.running || stopped && e.blocking.on == nil:
			t.retryLocked(e, t.config.Load().has(e.key))
		case e.cond.trouble == StateUnauthorized, e.cond.trouble == StateNeedsAuthorization:
			e.cond.notBefore = 0 // an exhausted quota may have put off the next look
		}
	}
	t.log.Info("keys that an exhausted quota or a misconfiguration stopped are tried again")
}

// retry has the key renewed now, whatever its condition, and ends what budgets stand
// against it. It does nothing for a key that is not in use.
func (t *table) retry(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.find(key)
	if e == nil {
		return
	}
	t.budgets.breaker(groupOf(key)).reset()
	e.forgetQuotaLocked()
	t.retryStoppedLocked(quotaGroup{})
	t.retryLocked(e, true)
}

// forgetQuotaLocked ends what is known of e's quota.
func (e *entry) forgetQuotaLocked() {
	if e.mishaps != nil {
		e.mishaps.quota = keyQuota{}
	}
}

// overBudget refuses a renewal that would burn a quota: a fault of ours or of
// somebody else's must not use up what a merchant has for the day. It returns why, and how
// long none is to be made.
//
// Scheduled renewals need no budget: their dates bound those that succeed, and the backoff
// those that fail. Rejections know no such bound, so forced renewals have a budget of
// their own, and cannot starve scheduled ones: a token that is not replaced now is replaced
// before it dies.
func (t *table) overBudget(e *entry) (reason string, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, met := t.clock.Now(), e.mishapsLocked()
	stopped := !t.budgets.breaker(groupOf(e.key)).allow(now, met.quota.metToday(now))
	if stopped != met.quota.stopped {
		e.makeMishapsLocked().quota.stopped = stopped
	}
	suspect := met.rejection.suspect
	forced := suspect != nil && !e.cond.paced() // a pause on top of its own would hide the cause, and outlast it
	if !stopped && !forced {
		return "", 0
	}
	q := &e.makeMishapsLocked().quota
	switch {
	case stopped:
		return reasonQuotaOfAll, t.untilQuotaProbe()
	case q.forced.take(now, forcedPerDay(e.lifeLocked())):
		return "", 0
	case now.Sub(q.overrun.time()) >= quotaProbe:
		// Our own budget is a guess at WeChat's: the key is not given up for the day.
		q.overrun = instantOf(now)
		return "", 0
	default:
		again := askAgain(suspect, e.lifeLocked(), now, t.rand())
		return reasonForced, min(t.untilQuotaProbe(), again.Sub(now))
	}
}

// quotaOf returns what a record says of a quota that was used up before the last
// end of the process, and whether it says anything that still holds: within the
// same day in China, and until the probe that was due then. It is pure.
func quotaOf(rec *record, alive bool, now time.Time) (event, bool) {
	since := now.Sub(rec.quotaMet)
	if rec.quotaMet.IsZero() || since < 0 || since >= quotaProbe || chinaDay(rec.quotaMet) != chinaDay(now) {
		return event{}, false
	}
	return event{
		kind: eventQuota, alive: alive, errcode: wechat.CodeQuotaExhausted,
		wait:   min(quotaProbe-since, chinaMidnight(now).Sub(now)),
		reason: reasonQuotaMet + rec.quotaMet.UTC().Format(time.RFC3339) + ": the quota of the day is used up",
	}, true
}
