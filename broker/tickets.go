package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// errNoTicket says that no component_verify_ticket is held that WeChat takes.
var errNoTicket = errors.New("no usable component_verify_ticket")

// fetchComponent tries the newest ticket, and older ones if WeChat refuses it.
func (b *Broker) fetchComponent(ctx context.Context, e *entry) (wechat.Grant, error) {
	p, err := b.platform(ctx, e.key.AppID)
	if err != nil {
		return wechat.Grant{}, err
	}
	refused := errNoTicket
	tried := b.worthTrying(e.key.AppID, p)
	for _, t := range tried {
		g, err := b.wechat.ComponentToken(ctx, e.key.AppID, b.secretOf(e.key), t.value)
		var api *wechat.APIError
		if errors.As(err, &api) && api.TicketRefused() {
			refused = fmt.Errorf("%w: %w", errNoTicket, err)
			continue
		}
		if err == nil {
			b.letIn(e.key.AppID)
		}
		return g, err
	}
	b.noteSpent(e.key.AppID, tried)
	b.attend(e.key.AppID) // ask for the pushes to start again
	return wechat.Grant{}, refused
}

// noteSpent notes that WeChat has refused these tickets, newest first.
func (b *Broker) noteSpent(appID string, refused []ticket) {
	c := b.component(appID)
	if c == nil || len(refused) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.spent = refused[0]
}

// letIn forgets that WeChat refused to push tickets.
func (b *Broker) letIn(appID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.component(appID); c != nil {
		c.askFails, c.barred = 0, nil
	}
}

// worthTrying returns the tickets of p that are not too old, newest first. Where all
// were refused already it is the newest alone, as that may have been a slip of WeChat's.
func (b *Broker) worthTrying(appID string, p platformRecord) []ticket {
	now := b.clock.Now()
	var fresh []ticket
	for _, t := range p.tickets {
		if now.Sub(t.received) <= ticketLife {
			fresh = append(fresh, t)
		}
	}
	c := b.component(appID)
	if c == nil || len(fresh) == 0 {
		return fresh
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if fresh[0].value.Equal(c.spent.value) {
		return fresh[:1]
	}
	return fresh
}

// ticketReason says since when a component's ticket is missing and what to check.
// Broker.mu is held.
func (b *Broker) ticketReason(e *entry, now time.Time) string {
	since := e.cond.ticketless
	if since.IsZero() {
		since = e.cond.since
	}
	text := fmt.Sprintf("ticket missing since %s (%s): component %s has no usable component_verify_ticket; ",
		since.UTC().Format(time.RFC3339), now.Sub(since).Round(time.Second), e.key.AppID)
	c := b.component(e.key.AppID)
	if c == nil {
		return text
	}
	if r := b.lastRefused(c, now); r != nil {
		return text + fmt.Sprintf("pushes come and are refused (%s, %s ago): %s",
			r.cause, now.Sub(r.at).Round(time.Second), pushAdvice(r.cause, e.key.AppID))
	}
	if age := now.Sub(c.spent.received); e.cond.errcode != 0 && age < ticketPatience {
		return text + fmt.Sprintf("WeChat pushes them and refuses them (the newest came %s ago): %s; the next is tried as soon as it comes",
			age.Round(time.Second), e.cond.reason)
	}
	return text + fmt.Sprintf("WeChat pushes one every ten minutes to /wechat/%s/event: check that the authorization-event URL in WeChat's console leads to the push listener", e.key.AppID)
}
