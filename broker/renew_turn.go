package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	// callTimeout bounds one call of a renewal that other sidecars might make as well, for a
	// token of the full life; it is a share of the life, but no less than callTimeoutLeast.
	callTimeout      = 10 * time.Second
	callTimeoutLeast = time.Second
	callShare        = 12
	// leasedCalls is how many calls a lease lasts.
	leasedCalls = 2
	// soloShare is the part of a token's life at whose end it is renewed although the store
	// does not answer.
	soloShare = 12
	// soloPause is between two renewals of one key without the others, at the full life: as
	// long as WeChat takes a token that was replaced. Sidecars that cannot agree displace
	// each other's tokens, and each must not do so sooner than it is hurt itself.
	soloPause = 5 * time.Minute
	// heldPause is how long a renewal that another sidecar makes is left to it before it is
	// looked at again; news of its end comes sooner.
	heldPause = time.Second
	// awayPause is between two looks at a key while the store does not answer. It is short, as
	// a rejection may come at any time, upon which the key may be renewed all the same.
	awayPause = 2 * time.Second
)

// awayReason says that the store that sidecars share does not answer.
const awayReason = "the store that the sidecars share does not answer; renewals wait for it"

// turn is the leave to renew one key: no other sidecar on the same store renews it meanwhile.
type turn struct {
	lease store.Lease
	// call bounds one call; 0 leaves it to the client.
	call time.Duration
	// solo: nobody hears of the others, who may renew it as well.
	solo bool
}

// take gets the turn to renew e. With an outcome there is nothing to renew, or not now.
func (n *renewer) take(ctx context.Context, e *entry) (turn, *outcome) {
	if n.coordination == nil {
		return turn{lease: ownLease{}}, nil
	}
	call := max(callTimeoutLeast, min(callTimeout, n.table.life(e)/callShare))
	known := n.ledger.inMemory(e.key, &e.saved)
	for range conflictTries {
		lease, err := n.lease(ctx, e.key.String(), store.LeaseOptions{
			For: leasedCalls * call, Fence: known.fence, Generation: known.generation,
		})
		if err == nil {
			return turn{lease: lease, call: call}, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return n.without(e, err, call)
		}
		rec, newer := n.ledger.reread(ctx, e.key, &e.saved)
		if out := n.adopted(e, rec, newer); out != nil {
			return turn{}, out
		}
		known = rec
	}
	out := n.failed(e, outpaced(e.key.String()))
	return turn{}, &out
}

// adopted is the outcome where another sidecar was faster, nil where it was not.
func (n *renewer) adopted(e *entry, rec *record, newer bool) *outcome {
	switch {
	case !newer:
		return nil
	case rec.alive(n.clock.Now()):
		out := n.renewed(e, rec, "adopted")
		return &out
	default:
		return nil
	}
}

// followedSince reports whether news of another sidecar's renewal has brought e a usable token
// since it showed held, when a renewal began: that one is not needed any more.
func (n *renewer) followedSince(e *entry, held *Token) bool {
	now := e.token.Load()
	if n.coordination == nil || now == nil || held != nil && held.Generation == now.Generation {
		return false
	}
	lacking, _ := n.table.need(e, soloShare)
	return !lacking
}

// without is what becomes of a renewal that has no lease, for the reason err.
func (n *renewer) without(e *entry, err error, call time.Duration) (turn, *outcome) {
	var held *store.HeldError
	if errors.As(err, &held) {
		return turn{}, n.leaveToOther(held.Left)
	}
	if n.renewsSolo(e) {
		n.log.Warn("the store that the sidecars share does not answer, and a token is about to die: it is renewed without the others",
			"key", e.key.String(), "error", err)
		return turn{lease: ownLease{}, call: call, solo: true}, nil
	}
	ev := event{kind: eventFailed, reason: awayReason + ": " + err.Error(), noAnswer: true}
	ev.wait = awayPause + time.Duration(n.rand()*float64(awayPause)/4)
	return turn{}, &outcome{event: ev, result: "store_away", due: n.soloDue(e)}
}

// leaveToOther is the outcome of a renewal that another sidecar makes at the moment.
func (n *renewer) leaveToOther(left time.Duration) *outcome {
	pause := min(max(left, 0), heldPause) + time.Duration(n.rand()*float64(heldPause)/4)
	return &outcome{event: event{kind: eventHeld, wait: pause}, result: "held"}
}

// soloDue returns when e is to be renewed although the store does not answer; the zero time for
// as soon as its condition allows. Until then it takes no turn from keys that are nearer to
// their end; a rejection brings it forward.
func (n *renewer) soloDue(e *entry) time.Time {
	dies, life := n.table.usableUntil(e)
	switch {
	case dies.IsZero():
		return dies
	case e.key.Kind == KindAccount, n.ledger.wrote(e.key, &e.saved):
		return dies.Add(-life / soloShare)
	default:
		return dies
	}
}

// renewsSolo reports whether e is to be renewed although no sidecar can hear of the others. A
// token's death is sure to hurt, and so is the rejection of the one that is held. Ahead of that
// only the sidecar that obtained the token renews it, as only one should. stable_token gives
// everybody the same token and displaces nothing.
func (n *renewer) renewsSolo(e *entry) bool {
	lacking, ending := n.table.need(e, soloShare)
	if e.key.Kind == KindAccount {
		return lacking || ending
	}
	mine := lacking || ending && n.ledger.wrote(e.key, &e.saved)
	return mine && n.coordination.maySolo(e.key, n.clock.Local(), share(soloPause, n.table.life(e)))
}

// begin returns the context of one call of the turn, which ends before the lease may. It fails
// where another sidecar has the lease meanwhile: this process slept, say.
func (t turn) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if t.call == 0 {
		return ctx, func() {}, nil
	}
	if t.lease.Left() < t.call*6/5 {
		if err := t.lease.Extend(ctx); err != nil {
			return nil, nil, fmt.Errorf("before a call to WeChat: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.call)
	return ctx, cancel, nil
}

// callInTurn makes one call of the turn.
func callInTurn[T any](ctx context.Context, t turn, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel, err := t.begin(ctx)
	if err != nil {
		var none T
		return none, err
	}
	defer cancel()
	return call(ctx)
}

// leaseResult is the metric's label of an attempt to take a lease.
func leaseResult(err error) string {
	var held *store.HeldError
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &held):
		return "held"
	case errors.Is(err, store.ErrConflict):
		return "stale"
	default:
		return "error"
	}
}
