package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	// ticketPatience is how long no ticket may come before WeChat is asked to push
	// again; it pushes one every ten minutes.
	ticketPatience = 25 * time.Minute
	// askInterval is the least time between two such requests.
	askInterval = 10 * time.Minute
	// listInterval is how often the list of authorizers is read unasked.
	listInterval = 6 * time.Hour
)

// attend has the component looked after: are its tickets coming, is its list read?
// It never blocks, and does nothing for a component that is not configured.
// Broker.mu may be held.
func (b *Broker) attend(appID string) {
	c := b.component(appID)
	if c == nil {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// lookAfter is the body of the goroutine that looks after one component.
func (b *Broker) lookAfter(ctx context.Context, c *component) {
	for {
		wait := min(b.askForTickets(ctx, c), b.readList(ctx, c), b.askDoubtful(ctx, c))
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-time.After(max(wait, time.Second)):
		}
	}
}

// askForTickets asks WeChat to push tickets if none came for too long, and returns
// when to look again.
// https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/startPushTicket.html
func (b *Broker) askForTickets(ctx context.Context, c *component) time.Duration {
	p, err := b.platform(ctx, c.appID)
	if err != nil {
		return time.Minute
	}
	now := b.clock.Now()
	if wait := b.untilAskAgain(c, p, now); wait > 0 {
		return wait
	}
	if b.isPaused() {
		return time.Minute // its return wakes us
	}
	err = b.wechat.StartPushTicket(ctx, c.appID, b.secretOf(componentKey(c.appID)))
	var silent *wechat.NoAnswerError
	if errors.As(err, &silent) {
		b.askedInVain(c, now)
		b.pause(silent)
		return askInterval
	}
	b.askedForTickets(ctx, c, now, err)
	return askInterval
}

// askedInVain notes that WeChat did not answer when asked for tickets; it may have
// taken the call all the same. Only the end of an outage lets us ask sooner.
func (b *Broker) askedInVain(c *component, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.vain, c.askNow = now, false
}

// untilAskAgain returns how long WeChat need not be asked for tickets of c.
func (b *Broker) untilAskAgain(c *component, p platformRecord, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.askNow {
		return 0
	}
	wait := untilAsk(p, c.askFails, now)
	if !c.vain.IsZero() && !c.vain.After(now) {
		wait = max(wait, c.vain.Add(askInterval).Sub(now))
	}
	return wait
}

// untilAsk returns how long WeChat need not be asked for tickets; it is pure.
func untilAsk(p platformRecord, fails int, now time.Time) time.Duration {
	var patience, spacing time.Duration
	if t, ok := p.newest(); ok {
		patience = t.received.Add(ticketPatience).Sub(now)
	}
	if !p.asked.IsZero() && !p.asked.After(now) {
		spacing = p.asked.Add(askInterval << min(fails, 3)).Sub(now)
	}
	return max(patience, spacing)
}

func (b *Broker) askedForTickets(ctx context.Context, c *component, now time.Time, err error) {
	if err == nil {
		b.log.Info("asked WeChat to push tickets, as none came", "component", c.appID)
	} else {
		b.log.Warn("WeChat refused to push tickets", "component", c.appID, "error", err)
	}
	b.noteAsked(c, err)
	saveErr := b.updatePlatform(ctx, c, func(p platformRecord) (platformRecord, bool) {
		p.asked = now
		return p, true
	})
	if saveErr != nil {
		c.mu.Lock()
		c.last.asked = now // memory keeps the pace when the store does not
		c.mu.Unlock()
	}
}

// noteAsked shows a fault that only a person can cure before the first ticket comes,
// and that it is cured: a wrong secret, an address outside the whitelist.
func (b *Broker) noteAsked(c *component, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.askFails++
	c.askNow = false
	var api *wechat.APIError
	barred := errors.As(err, &api) && (api.Misconfigured() || api.Code == wechat.CodeInvalidCredential)
	switch {
	case barred:
		c.barred = api
	case err == nil:
		c.askFails, c.barred = 0, nil
	}
	e := b.active[componentKey(c.appID)]
	now := b.clock.Now()
	switch {
	case e == nil || e.token.Load().Alive(now):
		return
	case e.running:
		e.again = true // it is on its way to find no ticket
		return
	case barred:
		b.turn(e, event{what: happenedMisconfigured, reason: api.Error(), errcode: api.Code, wait: misconfiguredProbe}, now)
	case err == nil && e.cond.trouble == StateMisconfigured:
		b.turn(e, event{what: happenedReset}, now)
	default:
		return
	}
	b.place(e, e.cond.notBefore, false)
	e.announce()
	b.tellDependents(e)
}

// unbar has WeChat asked for tickets at once if it refused that for a cause which only a
// person can cure: it may let us in now. Broker.mu is held.
func (c *component) unbar() {
	if c.barred != nil {
		c.askFails, c.barred, c.askNow = 0, nil, true
	}
}

// barredBy returns what WeChat said when it was last asked to push the component's
// tickets and only a person can cure it, else nil.
func (b *Broker) barredBy(appID string) *wechat.APIError {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.component(appID); c != nil {
		return c.barred
	}
	return nil
}
