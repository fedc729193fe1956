package broker

import (
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// untilQuotaProbe is an hour, or less if the day ends in China before.
func (b *Broker) untilQuotaProbe() time.Duration {
	now := b.clock.Now()
	spread := time.Duration(b.opts.Rand() * float64(time.Minute))
	return min(quotaProbe, chinaMidnight(now).Sub(now)+spread)
}

// pauseAfter returns how long to leave alone what WeChat has answered with err, as
// so many times in a row before.
func (b *Broker) pauseAfter(err error, failures int) time.Duration {
	if wechat.Code(err) == wechat.CodeQuotaExhausted {
		return b.untilQuotaProbe()
	}
	return backoff(failures, fullLife, b.opts.Rand())
}

// noteQuota notes that WeChat answered 45009 to e. Only the day's first counts for
// its kind: that a quota is still used up an hour later is no news.
func (b *Broker) noteQuota(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if !e.metQuota(now) {
		b.breakers[e.key.Kind].note(e.key, now)
	}
	e.quotaMet = now
}

// metQuota reports whether WeChat has answered 45009 to e today. Broker.mu is held.
func (e *entry) metQuota(now time.Time) bool {
	return !e.quotaMet.IsZero() && chinaDay(e.quotaMet) == chinaDay(now)
}

// quotaLeft notes that a call for e went well. Broker.mu is held.
func (b *Broker) quotaLeft(e *entry) {
	e.quotaMet = time.Time{}
	if b.breakers[e.key.Kind].succeeded(e.key, b.clock.Now()) {
		b.goOn(e.key.Kind)
	}
}

// goOn has those of a kind, or of every kind for the zero Kind, tried again that
// were stopped for what others did. Broker.mu is held.
func (b *Broker) goOn(kind Kind) {
	now := b.clock.Now()
	for key, e := range b.active {
		if !e.stopped || kind != 0 && kind != key.Kind {
			continue
		}
		e.stopped = false
		b.tryAgain(e, now, e.waiters > 0)
	}
}

// overrun is when the last call beyond the day's budget of e was made. Forced and
// scheduled renewals are counted separately, so rejections cannot starve scheduled
// ones. Broker.mu is held.
func (e *entry) overrun() *time.Time {
	if e.suspect != nil {
		return &e.overrunForced
	}
	return &e.overrunDue
}

// RetryStopped has every key tried now that an exhausted quota, a budget of ours, a
// breaker or a misconfiguration has stopped: an operator says that the cause is gone. It
// does not wait; the rate limit holds, and a cause that remains stops its key again. What
// waits in the inbox and the lists of authorizers are tried as well.
func (b *Broker) RetryStopped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.breakers {
		b.breakers[i].reset()
	}
	b.spent = dayBudget{}
	b.resets.Add(1)
	b.readInbox()
	for appID, c := range b.configured() {
		c.unbar()
		b.attend(appID)
	}
	now := b.clock.Now()
	b.resetAt = now
	for _, e := range b.active {
		e.spent, e.quotaMet, e.stopped = dayBudget{}, time.Time{}, false
		stopped := e.cond.trouble == StateQuotaExhausted || e.cond.trouble == StateMisconfigured
		if e.running || stopped && e.blockedOn == nil {
			b.tryAgain(e, now, e.permanent || e.waiters > 0)
		}
	}
	b.log.Info("keys that an exhausted quota or a misconfiguration stopped are tried again")
}

// overBudget refuses a renewal that would burn a quota: a fault of ours or of
// somebody else's must not use up what a merchant has for the day.
func (b *Broker) overBudget(e *entry) (outcome, bool) {
	b.mu.Lock()
	now := b.clock.Now()
	most := callsPerKey(e.presentLife())
	reason := ""
	e.stopped = true
	switch {
	case !b.breakers[e.key.Kind].allow(now, e.metQuota(now)):
		reason = "WeChat answered errcode 45009 to several accounts; token calls of this kind wait for the day's end in China"
	case e.cond.paced():
		// A pause of ours on top of its own would hide the cause, and outlast it.
		e.stopped = false
	case e.spent.take(now, most):
		e.stopped = !b.spent.take(now, callsPerDayFloor+most*len(b.active))
		if e.stopped {
			reason = "the daily budget of token calls for all keys is used up; it starts anew at midnight in China"
		}
	case now.Sub(*e.overrun()) >= quotaProbe:
		// Our own budget is a guess at WeChat's: the key is not given up for the day.
		*e.overrun(), e.stopped = now, false
	default:
		reason = "the daily budget of token calls for this key is used up; one or two an hour are made until midnight in China"
		e.stopped = false
	}
	b.mu.Unlock()
	if reason == "" {
		return outcome{}, false
	}
	return outcome{event: event{
		what: happenedQuota, reason: reason, errcode: wechat.CodeQuotaExhausted, wait: b.untilQuotaProbe(),
	}, result: "over_budget"}, true
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
		what: happenedQuota, alive: alive, errcode: wechat.CodeQuotaExhausted,
		wait:   min(quotaProbe-since, chinaMidnight(now).Sub(now)),
		reason: "WeChat answered errcode 45009 at " + rec.quotaMet.UTC().Format(time.RFC3339) + ": the quota of the day is used up",
	}, true
}
