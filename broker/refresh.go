package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// renewalTimeout bounds one renewal, all its calls together.
const renewalTimeout = 45 * time.Second

// outcome is what came of one renewal.
type outcome struct {
	event
	result string // the metric's label
	// noAnswer is set where nobody answered.
	noAnswer *wechat.NoAnswerError
	// unchanged: WeChat gave the token that is in force once more.
	unchanged bool
	// due is when the next renewal is wanted; zero leaves it to the condition.
	due time.Time
	// blockedOn is the key that must have a token first.
	blockedOn Key
}

// renew is the body of the goroutine that renews e once. It does not end with the
// broker's context: a renewal under way is brought to its end, as WeChat may have
// replaced the token already.
func (b *Broker) renew(ctx context.Context, e *entry) {
	defer b.renewals.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewalTimeout)
	defer cancel()
	out := b.refresh(ctx, e)
	b.metrics.Renewal(e.key.Kind.Label(), out.result)
	b.settle(e, out)
}

// refresh is one renewal: lock, read the store again, call WeChat, save.
func (b *Broker) refresh(ctx context.Context, e *entry) outcome {
	b.checkpoint("renewal-begin")
	ctx, unlock, err := b.opts.Locker.Lock(ctx, e.key.String())
	if err != nil {
		return b.failed(e, err)
	}
	defer unlock()
	b.checkpoint("renewal-locked")
	rec, adopted := b.reread(ctx, e)
	if adopted {
		return b.renewed(e, rec, "adopted")
	}
	if out, refused := b.overBudget(e); refused {
		return out
	}
	b.checkpoint("renewal-sending")
	sent := b.clock.Local()
	g, err := b.fetch(ctx, e, rec)
	if err != nil {
		return b.stillJudged(e, rec, b.judged(ctx, e, rec, b.failed(e, err)))
	}
	b.checkpoint("renewal-answered")
	skew, _ := b.clock.Offset()
	return b.keep(ctx, e, rec, g, sent.Add(skew))
}

// reread returns the record in force, from the store where it can be read, and
// whether somebody else has renewed it meanwhile.
func (b *Broker) reread(ctx context.Context, e *entry) (rec *record, adopted bool) {
	defer b.locks.one(e.key)()
	known := e.rec
	cur, _, err := b.current(ctx, e.key, e) // what the store did not take counts as well
	if err != nil {
		return known, false // memory is all there is
	}
	if cur.generation == known.generation {
		return cur, false
	}
	b.adopt(e, cur)
	return cur, cur.tokenOf(&e.key).Alive(b.clock.Now())
}

// keep makes a new token durable, then visible. If the store does not take it, it
// is served from memory and saving goes on being tried.
func (b *Broker) keep(ctx context.Context, e *entry, base *record, g wechat.Grant, obtained time.Time) outcome {
	var result string
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	b.checkpoint("renewal-saving")
	saved, err := b.update(ctx, e.key, func(r *record) bool {
		switch {
		case r.overtakes(base):
			result = "late"
			return false
		case r.token.Equal(g.Token):
			result = "unchanged"
		default:
			result = "renewed"
		}
		b.fill(r, g, obtained, e.lastUsed())
		return true
	})
	b.checkpoint("renewal-saved")
	unsaved := errors.Is(err, errUnsaved)
	if err != nil && !unsaved {
		return b.failed(e, err)
	}
	if result == "late" {
		return b.overtaken(e, saved)
	}
	if base.verdict == StateUnauthorized {
		b.directory.changed() // it is back
	}
	out := b.renewed(e, saved, result)
	if unsaved {
		out.result = "unsaved"
	}
	return out
}

// fill puts a grant into r. The same value again keeps its generation: apps that
// report it must not be told that there is a newer one.
func (b *Broker) fill(r *record, g wechat.Grant, obtained, used time.Time) {
	if !r.token.Equal(g.Token) {
		r.generation++
		r.token, r.obtained = g.Token, obtained
	}
	r.dies = obtained.Add(g.Life)
	r.fullLife = max(r.fullLife, g.Life)
	if !g.RefreshToken.IsZero() {
		r.refreshToken, r.spare = g.RefreshToken, secret.Text{}
	}
	if used.After(r.used) {
		r.used = used
	}
	r.judge(StateUnknown, time.Time{}, "", 0)
	r.quotaMet = time.Time{}
}

// renewed is the outcome of a renewal that went well.
func (b *Broker) renewed(e *entry, rec *record, result string) outcome {
	out := outcome{event: event{what: happenedRenewed}, result: result, unchanged: result == "unchanged"}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := e.token.Load()
	if t == nil {
		t = e.suspect // held back until settle
	}
	if t == nil {
		out.due = b.clock.Now()
		return out
	}
	b.quotaLeft(e)
	out.due = due(t, rec.fullLife, b.opts.RenewAt, b.opts.Rand())
	if again := askAgain(t, rec.fullLife, b.clock.Now(), b.opts.Rand()); out.unchanged && out.due.Before(again) {
		out.due = again
	}
	return out
}

// failed words what an error of a renewal means for the key.
func (b *Broker) failed(e *entry, err error) outcome {
	var blocked *blockedError
	var unconfirmed *unconfirmedError
	var void *voidError
	var silent *wechat.NoAnswerError
	var bad *wechat.BadAnswerError
	var api *wechat.APIError
	out := outcome{event: event{what: happenedFailed, reason: err.Error(), errcode: wechat.Code(err)}, result: "error"}
	switch {
	case errors.As(err, &blocked):
		out.what, out.blockedOn, out.result = happenedBlocked, blocked.on, "blocked"
	case errors.Is(err, errNoTicket):
		out.what, out.result = happenedNoTicket, "no_ticket"
		if barred := b.barredBy(e.key.AppID); barred != nil && out.errcode == 0 { // WeChat would push none
			out.what, out.reason, out.errcode, out.wait = happenedMisconfigured, barred.Error(), barred.Code, misconfiguredProbe
		}
	case errors.As(err, &unconfirmed):
		out.wait, out.result = unconfirmed.wait, "refused"
	case errors.As(err, &void):
		out.what, out.wait, out.result = void.what, verdictMemory, "refused"
	case errors.As(err, &silent):
		out.silent, out.noAnswer, out.result = true, silent, "no_answer"
	case errors.As(err, &bad):
		out.result = "invalid"
	case errors.As(err, &api):
		b.refused(e, api, &out)
	}
	return out
}

// refused sorts WeChat's own refusals.
func (b *Broker) refused(e *entry, api *wechat.APIError, out *outcome) {
	out.result = "refused"
	switch {
	case api.Code == wechat.CodeQuotaExhausted:
		out.what, out.wait = happenedQuota, b.untilQuotaProbe()
		if !api.Question() {
			b.noteQuota(e)
		}
	case api.Misconfigured(), api.Code == wechat.CodeInvalidCredential && e.key.Kind.carriesSecret():
		out.what, out.wait = happenedMisconfigured, misconfiguredProbe
	}
}
