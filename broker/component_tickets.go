package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	// ticketPatience is how long no ticket may come before WeChat is asked to push
	// again; it pushes one every ten minutes.
	ticketPatience = 25 * time.Minute
	// startInterval is the least time between two such requests.
	startInterval = 10 * time.Minute
	// startLease is for how long one sidecar may ask while the others do not.
	startLease = 15 * time.Second
)

// ticketStart is what is known of WeChat's taking tickets, and of asking it to push some.
type ticketStart struct {
	spent ticket // the newest when WeChat last refused all that were held
	fails int    // how often in a row WeChat refused
	now   bool   // a person says to have cured the cause
	// refused are WeChat's words where only a person can cure it; else nil.
	refused    *wechat.APIError
	unanswered time.Time // when WeChat was last asked and did not answer
	freed      time.Time // when the end of an outage last let it be asked sooner
}

// startPush asks WeChat to push tickets if none came for too long, and returns when to
// look again.
//
// See https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/startPushTicket.html
func (c *component) startPush(ctx context.Context) time.Duration {
	p := c.record.load(ctx)
	now := c.clock.Now()
	if wait := c.untilStart(p, now); wait > 0 {
		return wait
	}
	if c.table.paused() {
		return time.Minute // its return wakes us
	}
	lease, err := c.lease(ctx, "start/"+c.appID, store.LeaseOptions{For: startLease})
	if err != nil {
		return startLease // another sidecar asks, or no ticket could be kept
	}
	defer lease.Unlock()
	if wait := c.untilStart(c.record.load(ctx), now); wait > 0 {
		return wait // another one asked
	}
	err = c.wechat.StartPushTicket(ctx, c.appID, c.secret())
	var noAnswer *wechat.NoAnswerError
	if errors.As(err, &noAnswer) {
		// WeChat may have taken the call all the same. Only the end of an outage lets us
		// ask sooner.
		c.mu.Lock()
		c.start.unanswered, c.start.now = now, false
		c.mu.Unlock()
		c.table.pause(noAnswer)
		return startInterval
	}
	c.started(ctx, now, err)
	return startInterval
}

// untilStart returns how long WeChat need not be asked for tickets.
func (c *component) untilStart(p platformRecord, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.start.now {
		return 0
	}
	wait := untilStart(p, c.start.fails, now)
	if at := c.start.unanswered; !at.IsZero() && !at.After(now) {
		wait = max(wait, at.Add(startInterval).Sub(now))
	}
	return wait
}

// untilStart is pure.
func untilStart(p platformRecord, fails int, now time.Time) time.Duration {
	var patience, spacing time.Duration
	if t, ok := p.newest(); ok {
		patience = t.received.Add(ticketPatience).Sub(now)
	}
	if !p.asked.IsZero() && !p.asked.After(now) {
		spacing = p.asked.Add(startInterval << min(fails, 3)).Sub(now)
	}
	return max(patience, spacing)
}

// started notes what WeChat answered when it was asked for tickets.
func (c *component) started(ctx context.Context, now time.Time, err error) {
	if err == nil {
		c.log.Info("asked WeChat to push tickets, as none came", "component", c.appID)
	} else {
		c.log.Warn("WeChat refused to push tickets", "component", c.appID, "error", err)
	}
	c.showStart(err)
	saveErr := c.record.update(ctx, func(p platformRecord) (platformRecord, bool) {
		p.asked = now
		return p, true
	})
	if saveErr != nil {
		c.record.noteAsked(now)
	}
}

// showStart shows a fault that only a person can cure before the first ticket comes, and
// that it is cured: a wrong secret, an address outside the whitelist.
func (c *component) showStart(err error) {
	var api *wechat.APIError
	refused := errors.As(err, &api) && (api.Misconfigured() || api.Code == wechat.CodeInvalidCredential)
	c.mu.Lock()
	c.start.fails++
	c.start.now = false
	switch {
	case refused:
		c.start.refused = api
	case err == nil:
		c.start.fails, c.start.refused = 0, nil
	}
	c.mu.Unlock()
	if refused {
		c.table.changeTokenless(c.key(), StateUnknown, event{kind: eventMisconfigured, reason: api.Error(), errcode: api.Code, wait: misconfiguredProbe})
	} else if err == nil {
		c.table.changeTokenless(c.key(), StateMisconfigured, event{kind: eventReset})
	}
}

// retryStart has WeChat asked for tickets at once if it refused that for a cause which
// only a person can cure: it may let us in now.
func (c *component) retryStart() {
	c.mu.Lock()
	if c.start.refused != nil {
		c.start.fails, c.start.refused, c.start.now = 0, nil, true
	}
	c.mu.Unlock()
	c.wakeUp()
}

// retryStartUnanswered lets WeChat be asked for tickets sooner where it did not answer.
func (c *component) retryStartUnanswered() {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.start.freed).Abs() >= startInterval {
		c.start.freed, c.start.unanswered = now, time.Time{}
	}
}

// startRefused returns what WeChat said when it was last asked to push tickets and only a
// person can cure it, else nil.
func (c *component) startRefused() *wechat.APIError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start.refused
}

// ticketsToTry returns the tickets that are not too old, newest first. Where all were
// refused already it is the newest alone, as that may have been a slip of WeChat's.
func (c *component) ticketsToTry(ctx context.Context) []ticket {
	now := c.clock.Now()
	var fresh []ticket
	for _, t := range c.record.load(ctx).tickets {
		if now.Sub(t.received) <= ticketLife {
			fresh = append(fresh, t)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(fresh) > 0 && fresh[0].value.Equal(c.start.spent.value) {
		return fresh[:1]
	}
	return fresh
}

// ticketsTried notes whether WeChat took one of these tickets, newest first. If it did it
// lets us in; else it is asked to push again.
func (c *component) ticketsTried(tried []ticket, taken bool) {
	c.mu.Lock()
	switch {
	case taken:
		c.start.fails, c.start.refused = 0, nil
	case len(tried) > 0:
		c.start.spent = tried[0]
	}
	c.mu.Unlock()
	if !taken {
		c.wakeUp()
	}
}

// takeTicket keeps a ticket durably. A token that is still valid is not renewed.
func (c *component) takeTicket(ctx context.Context, p wechat.Push) error {
	now := c.clock.Now()
	t := ticket{value: p.Ticket, created: p.CreateTime, received: now}
	if t.created.After(now.Add(ticketFuture)) {
		t.created = now // else no later ticket could replace it
	}
	news := false
	c.checkpoint("push-saving")
	err := c.record.update(ctx, func(held platformRecord) (next platformRecord, changed bool) {
		next, news = held.with(t)
		return next, news
	})
	c.checkpoint("push-saved")
	if err != nil {
		return fmt.Errorf("keep the ticket of %s: %w", c.appID, err)
	}
	if news {
		c.table.ticketCame(c.key())
	}
	return nil
}

// ticketReason says since when the ticket is missing, and what to check.
func (c *component) ticketReason(cond condition, now time.Time) string {
	since := cond.ticketless.time()
	if since.IsZero() {
		since = cond.since.time()
	}
	text := fmt.Sprintf("ticket missing since %s (%s): component %s has no usable component_verify_ticket; ",
		since.UTC().Format(time.RFC3339), now.Sub(since).Round(time.Second), c.appID)
	if r := c.lastRefused(now); r != nil {
		return text + fmt.Sprintf("pushes come and are refused (%s, %s ago): %s",
			r.cause, now.Sub(r.at).Round(time.Second), pushAdvice(r.cause, c.appID))
	}
	c.mu.Lock()
	age := now.Sub(c.start.spent.received)
	c.mu.Unlock()
	if cond.errcode != 0 && age < ticketPatience {
		return text + fmt.Sprintf("WeChat pushes them and refuses them (the newest came %s ago): %s; the next is tried as soon as it comes",
			age.Round(time.Second), cond.reason)
	}
	return text + fmt.Sprintf("WeChat pushes one every ten minutes to /wechat/%s/event: check that the authorization-event URL in WeChat's console leads to the push listener", c.appID)
}

// refusedPush is the last push for a component that was not taken.
type refusedPush struct {
	cause string
	at    time.Time
}

// lastRefused returns the last push for c that was not taken, if any came lately;
// else the last that nobody knows whose it was.
func (c *component) lastRefused(now time.Time) *refusedPush {
	for _, r := range []*refusedPush{c.push.Load(), c.stray.Load()} {
		if r != nil && now.Sub(r.at) < ticketPatience {
			return r
		}
	}
	return nil
}

// ticketAge returns how old the newest ticket is, and false for none.
func (c *component) ticketAge() (time.Duration, bool) {
	t, ok := c.record.newest()
	return c.clock.Now().Sub(t.received), ok
}
