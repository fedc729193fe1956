package broker

import (
	"context"
	"sync/atomic"
	"time"
)

// components is the configured ones, by appid. It is safe for concurrent use.
type components struct {
	wait time.Duration // how long a caller waits for a list
	all  atomic.Pointer[map[string]*component]
}

func newComponents(wait time.Duration) *components {
	s := &components{wait: wait}
	s.all.Store(&map[string]*component{})
	return s
}

// get returns a configured component, or nil.
func (s *components) get(appID string) *component { return s.list()[appID] }

// list returns those that are configured. The map is never changed.
func (s *components) list() map[string]*component { return *s.all.Load() }

// answered has done what was put off while WeChat did not answer.
func (s *components) answered(outage bool) {
	for _, c := range s.list() {
		c.answered(outage)
	}
}

// ticketReason says what is known of a component's tickets.
func (s *components) ticketReason(appID string, cond condition, now time.Time) string {
	if c := s.get(appID); c != nil {
		return c.ticketReason(cond, now)
	}
	return "component " + appID + " is configured no longer"
}

// awaitLists waits, no longer than a caller waits for a token, until the list of that
// component, or of every one for "", has been read once: before that nobody can say who is
// unknown. It returns an error of one that cannot be read only after it has waited for the
// others.
func (s *components) awaitLists(ctx context.Context, appID string) error {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	var failed error
	for id, c := range s.list() {
		if appID != "" && appID != id {
			continue
		}
		if err := c.awaitListed(ctx); err != nil {
			failed = err
		}
	}
	return failed
}

// catchUp has c follow what another sidecar on the same store did: it took a ticket, asked for
// some, or read the list.
func (c *component) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	before, now := c.record.catchUp(ctx)
	if t, ok := now.newest(); ok && !t.value.Equal(before.value) {
		c.table.ticketCame(c.key())
	}
	if !now.listed.IsZero() {
		c.markListed()
	}
	c.wakeUp()
}

// relist has the list read soon as in a store that never had it.
func (c *component) relist(ctx context.Context) {
	err := c.record.update(ctx, func(p platformRecord) (platformRecord, bool) {
		p.listed = time.Time{}
		return p, true
	})
	if err != nil {
		c.log.Warn("that the list of authorizers is to be read could not be saved", "component", c.appID, "error", err)
	}
	c.reconcile()
}

// markListed notes that the list has been read: those who waited for that go on.
func (c *component) markListed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.listed:
	default:
		close(c.listed)
	}
}

// awaitListed waits until the list has been read once, or ctx ends.
func (c *component) awaitListed(ctx context.Context) error {
	select {
	case <-c.listed:
		return nil
	default:
	}
	if _, err := c.directory.tokenAfter(ctx, c.key(), 0); err != nil {
		return err
	}
	select {
	case <-c.listed:
		c.directory.changed()
		return nil
	case <-ctx.Done():
		return &StateError{
			Key: c.key(), State: StateRetrying, RetryAfter: time.Second,
			Reason: "the list of authorizers has not been read yet since the store was empty; it is being asked for",
		}
	}
}
