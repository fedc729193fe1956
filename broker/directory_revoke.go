package broker

import (
	"context"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// revoke takes away what an authorizer's authorization gave, durably and at once,
// unless the merchant authorised again after at.
func (d *directory) revoke(ctx context.Context, key Key, at time.Time, reason string) error {
	revoked := false
	ev := event{kind: eventRevoked, reason: reason, errcode: wechat.CodeNotAuthorized, wait: verdictMemory}
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
