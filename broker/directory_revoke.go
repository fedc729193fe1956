package broker

import (
	"context"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// revoke takes away what an authorizer's authorization gave, durably and at once,
// unless the merchant authorised again after at.
func (d *directory) revoke(ctx context.Context, key Key, at time.Time, reason string) error {
	return d.takeAway(ctx, key, at, event{kind: eventRevoked, reason: reason, errcode: wechat.CodeNotAuthorized, wait: verdictMemory})
}

// forgotten is how long after now a merchant's authorization may be dated that an operator
// has forgotten: WeChat's clock may be ahead of ours.
const forgotten = 24 * time.Hour

// forget is revoke, whatever WeChat says, and drops the key: it is in use no longer, and
// only a call or the list of authorizers brings it back.
func (d *directory) forget(ctx context.Context, key Key) error {
	err := d.takeAway(ctx, key, d.clock.Now().Add(forgotten), event{kind: eventRevoked, reason: reasonForgotten, wait: verdictMemory})
	if err != nil {
		return err
	}
	for _, kind := range []Kind{KindJSAPITicket, KindWXCardTicket} {
		d.table.drop(key.account().TicketKey(kind))
	}
	d.table.drop(key)
	return nil
}

// takeAway is revoke with the event that says why.
func (d *directory) takeAway(ctx context.Context, key Key, at time.Time, ev event) error {
	revoked := false
	rec, err := d.ledger.update(ctx, key, func(r *record) bool {
		revoked = r.known() && !at.Before(r.authorized) && r.verdict != StateUnauthorized
		if revoked {
			r.generation++
			r.forget()
			r.judge(StateUnauthorized, d.clock.Now(), ev.reason, ev.errcode)
		}
		return revoked
	})
	if revoked {
		d.changed()
		d.table.change(key, ev, when{as: notAtAll})
	}
	if err == nil && rec.verdict == StateUnauthorized {
		err = d.dropPageTickets(ctx, key) // also at a repeat: the first may have come no further
	}
	return err
}

// dropPageTickets takes away the tickets for pages of an account that was taken
// back: they go with the authorization that they were given for.
func (d *directory) dropPageTickets(ctx context.Context, account Key) error {
	for _, kind := range []Kind{KindJSAPITicket, KindWXCardTicket} {
		key := account.account().TicketKey(kind)
		dropped := false
		_, err := d.ledger.update(ctx, key, func(r *record) bool {
			dropped = !r.token.IsZero() || d.table.renewing(key) // what is on its way was given for it as well
			if dropped {
				r.generation++
				r.dropToken()
			}
			return dropped
		})
		if err != nil {
			return err
		}
		if dropped {
			d.table.change(key, event{kind: eventDied}, when{as: unmoved})
		}
	}
	return nil
}
