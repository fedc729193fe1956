package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	// verdictMemory is how long a verdict that only the merchant can cure is
	// remembered before a call has it checked again.
	verdictMemory = 60 * time.Second
	// misconfiguredProbe is how often a fault that only a person can cure is looked
	// at again.
	misconfiguredProbe = 3 * time.Minute
)

// voidError says that only the merchant can make the key live again.
type voidError struct {
	kind eventKind // eventRevoked or eventRefreshVoid
	err  error
}

func (e *voidError) Error() string { return e.err.Error() }

func (e *voidError) Unwrap() error { return e.err }

// unconfirmedError says that WeChat has refused, once, a refresh token that it shows
// itself.
type unconfirmedError struct {
	err error
	// wait is how long until the second try.
	wait time.Duration
}

func (e *unconfirmedError) Error() string {
	return e.err.Error() + reasonTriedAgain
}

func (e *unconfirmedError) Unwrap() error { return e.err }

// failed says what an error of a renewal means for the key.
func (n *renewer) failed(e *entry, err error) outcome {
	var blocked *blockedError
	var unconfirmed *unconfirmedError
	var void *voidError
	var noAnswer *wechat.NoAnswerError
	var bad *wechat.BadAnswerError
	var api *wechat.APIError
	out := outcome{event: event{kind: eventFailed, reason: err.Error(), errcode: wechat.Code(err)}, result: "error"}
	switch {
	case errors.Is(err, store.ErrLost):
		return *n.leaveToOther(0)
	case errors.As(err, &blocked):
		out.kind, out.blockedOn, out.result = eventBlocked, blocked.on, "blocked"
	case errors.Is(err, errNoTicket):
		out.kind, out.result = eventNoTicket, "no_ticket"
		n.noPush(e, &out)
	case errors.As(err, &unconfirmed):
		out.wait, out.result = unconfirmed.wait, "refused"
	case errors.As(err, &void):
		out.kind, out.wait, out.result = void.kind, verdictMemory, "refused"
	case errors.As(err, &noAnswer):
		out.noAnswer, out.unanswered, out.result = true, noAnswer, "no_answer"
	case errors.As(err, &bad):
		out.result = "invalid"
	case errors.As(err, &api):
		n.refused(e, api, &out)
	}
	return out
}

// noPush is what the lack of a ticket means where WeChat would push none.
func (n *renewer) noPush(e *entry, out *outcome) {
	c := n.components.get(e.key.AppID)
	if c == nil || out.errcode != 0 {
		return
	}
	if refused := c.startRefused(); refused != nil {
		out.kind, out.reason, out.errcode, out.wait = eventMisconfigured, refused.Error(), refused.Code, misconfiguredProbe
	}
}

// refused sorts WeChat's own refusals.
func (n *renewer) refused(e *entry, api *wechat.APIError, out *outcome) {
	out.result = "refused"
	switch {
	case api.Code == wechat.CodeQuotaExhausted:
		out.kind, out.wait = eventQuota, n.untilQuotaProbe()
		if !api.Question() {
			n.table.quotaMet(e)
		}
	case api.Misconfigured(), api.Code == wechat.CodeInvalidCredential && e.key.Kind.carriesSecret():
		out.kind, out.wait = eventMisconfigured, misconfiguredProbe
	}
}

// judge makes durable what a restart must not make us ask again: a verdict that
// only the merchant can lift, or a quota that is used up. It does not if the record
// was changed meanwhile, by an authorization, say: then that is what counts.
func (n *renewer) judge(ctx context.Context, e *entry, base *record, out outcome) outcome {
	note := n.noteOf(e, base, out)
	if note == nil {
		if cur := n.ledger.inMemory(e.key, &e.saved); cur.overtakes(base) {
			return n.overtaken(e, cur)
		}
		return out
	}
	late := false
	rec, err := n.ledger.update(ctx, e.key, func(r *record) bool {
		if late = r.overtakes(base); !late {
			note(r)
		}
		return !late
	})
	if late && rec != nil {
		return n.overtaken(e, rec)
	}
	if err != nil {
		n.log.Warn("what WeChat said of a key could not be saved; it is asked again after a restart", "key", e.key.String(), "error", err)
	}
	if out.kind != eventQuota {
		n.directory.changed()
	}
	if out.kind == eventRevoked {
		if err := n.directory.dropPageTickets(ctx, e.key); err != nil {
			n.log.Warn("the tickets for pages of an account that was taken back are served until their end", "key", e.key.String(), "error", err)
		}
	}
	return out
}

// noteOf returns what an outcome changes in the record, or nil for nothing.
func (n *renewer) noteOf(e *entry, base *record, out outcome) func(*record) {
	now := n.clock.Now()
	switch out.kind {
	case eventRevoked:
		return func(r *record) {
			r.dropToken()
			r.judge(StateUnauthorized, now, out.reason, out.errcode)
		}
	case eventRefreshVoid:
		rejected := n.table.isRejected(e, base.generation)
		return func(r *record) {
			if rejected { // else it would be served again, and rejected again
				r.dropToken()
			}
			r.judge(StateNeedsAuthorization, now, out.reason, out.errcode)
		}
	case eventQuota:
		return func(r *record) {
			r.quotaMet = now
			r.generation = max(r.generation, 1) // an account that never had a token has no record yet
		}
	default:
		return nil
	}
}

// keepVerdict has a verdict of base stand where looking at it again came to nothing: a
// question that WeChat did not answer takes nothing from what it has said before. A
// rejected token, which a verdict takes away, waits for that to be known anew.
func (n *renewer) keepVerdict(e *entry, base *record, out outcome) outcome {
	passing := out.kind == eventFailed || out.kind == eventQuota
	if base.verdict == StateUnknown || !passing || n.table.isRejected(e, base.generation) {
		return out
	}
	ev := eventOf(base, false)
	ev.wait, ev.noAnswer = max(out.wait, verdictMemory), out.noAnswer
	return outcome{event: ev, result: out.result, unanswered: out.unanswered}
}

// overtaken is the outcome of a renewal whose record was changed meanwhile by somebody
// else: what is in force counts, whatever the renewal came to.
func (n *renewer) overtaken(e *entry, inForce *record) outcome {
	if inForce.verdict == StateUnknown {
		return n.renewed(e, inForce, "late")
	}
	out := outcome{event: eventOf(inForce, false), result: "late"} // taken back
	out.wait = verdictMemory
	return out
}
