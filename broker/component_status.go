package broker

import (
	"context"
	"time"
)

// ComponentStatus says how a configured component is.
type ComponentStatus struct {
	AccountStatus
	Ticket TicketInfo `json:"ticket"`
	List   ListInfo   `json:"list"`
	// RefusedPush is the last push for it that was refused, if one was in the last 25
	// minutes; nil for none.
	RefusedPush *RefusedPush `json:"refused_push,omitempty"`
}

// TicketInfo says how a component's tickets come.
type TicketInfo struct {
	// ReceivedAt is when the newest came, nil where none is held. WeChat pushes one every
	// ten minutes, and it works for twelve hours.
	ReceivedAt *time.Time `json:"received_at,omitempty"`
	// AskedAt is when WeChat was last asked to push tickets, and Refused its answer where
	// only a person can cure it.
	AskedAt *time.Time `json:"asked_at,omitempty"`
	Refused string     `json:"refused,omitempty"`
}

// Late reports whether the next ticket is overdue at now: none came for 25 minutes.
func (t TicketInfo) Late(now time.Time) bool {
	return t.ReceivedAt == nil || now.Sub(*t.ReceivedAt) > ticketPatience
}

// ListInfo says how the list of a component's authorizers was last read.
type ListInfo struct {
	// ReadAt is when it was last read to its end, by this process or an earlier one.
	ReadAt *time.Time `json:"read_at,omitempty"`
	// Pending says that it is to be read, and Reading that it is being read now: Accounts of
	// Total are done. After its end they are those that there were.
	Pending  bool `json:"pending"`
	Reading  bool `json:"reading"`
	Accounts int  `json:"accounts"`
	Total    int  `json:"total"`
	// Error is why the last reading broke off, FailedAt when, and RetryAt when it goes on.
	Error    string     `json:"error,omitempty"`
	FailedAt *time.Time `json:"failed_at,omitempty"`
	RetryAt  *time.Time `json:"retry_at,omitempty"`
}

// RefusedPush is a push that was refused.
type RefusedPush struct {
	// Cause is as in the metric wxsidecar_pushes_total.
	Cause string `json:"cause"`
	// Advice says what to do about it.
	Advice string    `json:"advice"`
	At     time.Time `json:"at"`
}

// status returns what is known of c apart from its token.
func (c *component) status(s AccountStatus) ComponentStatus {
	p, now := c.record.known(), c.clock.Now()
	all := ComponentStatus{AccountStatus: s, List: c.list.info()}
	if all.List.ReadAt == nil {
		all.List.ReadAt = shownTime(p.listed) // by an earlier run
	}
	all.Ticket.AskedAt = shownTime(p.asked)
	if t, ok := p.newest(); ok {
		all.Ticket.ReceivedAt = shownTime(t.received)
	}
	if refused := c.startRefused(); refused != nil {
		all.Ticket.Refused = refused.Error() + "; " + cure(c.key(), refused.Code)
	}
	if r := c.lastRefused(now); r != nil {
		all.RefusedPush = &RefusedPush{Cause: r.cause, Advice: pushAdvice(r.cause, c.appID), At: r.at.UTC().Truncate(time.Second)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all.List.Pending = c.listWanted || all.List.ReadAt == nil
	return all
}

// known returns the record as memory has it.
func (p *platform) known() platformRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// startNow has WeChat asked for tickets now, unless it took such a call in the last ten
// minutes: then it returns how long that is to be waited for yet.
func (c *component) startNow(ctx context.Context) time.Duration {
	asked, now := c.record.load(ctx).asked, c.clock.Now()
	c.mu.Lock()
	wait := asked.Add(startInterval).Sub(now)
	if asked.IsZero() || asked.After(now) || c.start.fails > 0 || wait <= 0 {
		wait = 0
		c.start.now = true
	}
	c.mu.Unlock()
	if wait == 0 {
		c.wakeUp()
	}
	return wait
}

// statuses returns how the components are, in the order of tokens, which has what is known
// of their tokens.
func (s *components) statuses(tokens []AccountStatus) []ComponentStatus {
	all := []ComponentStatus{}
	for _, token := range tokens {
		if c := s.get(token.AppID); c != nil {
			all = append(all, c.status(token))
		}
	}
	return all
}

// show has people see info from now on.
func (l *listing) show(info ListInfo) { l.shown.Store(&info) }

// info returns how far the reading has come.
func (l *listing) info() ListInfo {
	if info := l.shown.Load(); info != nil {
		return *info
	}
	return ListInfo{}
}

// showFailure has people see why the reading broke off. The turn is the caller's.
func (l *listing) showFailure(err error, now time.Time) {
	l.show(ListInfo{
		ReadAt: shownTime(l.finished), Accounts: l.offset, Total: l.info().Total,
		Error: err.Error(), FailedAt: shownTime(now), RetryAt: shownTime(l.retryAt),
	})
}
