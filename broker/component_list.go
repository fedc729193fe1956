package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
	// listInterval is how often the list of authorizers is read unasked.
	listInterval = 6 * time.Hour
	// listMemory is how long a list that was read to its end answers those who need
	// it read: many keys in trouble cause one reading. A long list answers for longer,
	// by so much for each page: else a few keys in trouble would have WeChat read out
	// a hundred thousand accounts each minute.
	listMemory     = time.Minute
	listPageMemory = 10 * time.Second
	// listPatience is how long a reading that broke off may be taken up again where
	// it stopped.
	listPatience = 10 * time.Minute
)

// listing is the reading of a component's list of authorizers. It goes on where
// it stopped when a page fails, so that a long list is read through even on a bad
// connection.
type listing struct {
	turn     chan struct{} // capacity 1; whoever has put an element in reads the list and owns the fields below
	offset   int           // of the next page; after the end, how many there were
	skipped  int           // of those, how many have no appid that can be read
	unsaved  bool          // some of what was read is only in memory
	seen     map[string]struct{}
	started  time.Time
	paged    time.Time // when the last page was merged
	finished time.Time // when the list was last read to its end, in this run
	fails    int
	retryAt  time.Time
	reset    uint64 // of env.resets: after the next one retryAt holds no longer

	shown atomic.Pointer[ListInfo] // how far the reading has come, for people; nil before the first
}

// lock waits for the turn until ctx ends: whoever has it may wait for WeChat.
func (l *listing) lock(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the list of authorizers: %w", ctx.Err())
	}
}

func (l *listing) unlock() { <-l.turn }

// memory is how long the list that was read last answers for.
func (l *listing) memory() time.Duration {
	return max(listMemory, time.Duration(l.offset/wechat.ListPageSize)*listPageMemory)
}

// reconcile has the list compared with what is held, soon. It does not wait for it.
func (c *component) reconcile() {
	c.mu.Lock()
	c.listWanted = true
	c.mu.Unlock()
	c.wakeUp()
}

// readList reads the list if it is time, and returns when to look again.
func (c *component) readList(ctx context.Context) time.Duration {
	if c.list.lock(ctx) != nil {
		return time.Minute // the broker ends
	}
	defer c.list.unlock()
	now := c.clock.Now()
	if wait := c.untilList(ctx, now); wait > 0 {
		return wait
	}
	if c.table.usable(c.key()) == nil || c.table.paused() {
		return time.Minute // the token, or WeChat's return, wakes us
	}
	err := c.readToEnd(ctx)
	var blocked *blockedError
	switch {
	case err == nil:
		return listInterval
	case errors.As(err, &blocked):
		return time.Minute
	case errors.Is(err, errListTaken):
		return listLease // its end is news
	default:
		return max(time.Second, c.list.retryAt.Sub(c.clock.Now()))
	}
}

// untilList returns how long the list need not be read. The turn is the caller's.
func (c *component) untilList(ctx context.Context, now time.Time) time.Duration {
	c.mu.Lock()
	wanted := c.listWanted
	c.mu.Unlock()
	due := now
	if last := latest(now, c.record.load(ctx).listed, c.list.finished); !wanted && !last.IsZero() {
		due = last.Add(listInterval)
	}
	if c.list.reset == c.resets.Load() && c.list.retryAt.After(due) {
		due = c.list.retryAt
	}
	return due.Sub(now)
}

// latest returns the last of the times that is not after now; zero for none. What the
// store knows may lie ahead, by a clock that was wrong, or behind, by a full disk.
func latest(now time.Time, times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if !t.After(now) && t.After(last) {
			last = t
		}
	}
	return last
}

// errListTaken says that somebody else reads the list at the moment.
var errListTaken = errors.New("the list of authorizers, which may have another refresh token, is being read; it is looked at again afterwards")

// readListFor reads the list for a key in trouble, unless it was read just now. It
// does not wait while somebody else reads it: the few workers that there are would
// all wait here for one merchant's trouble, and nobody's token would be renewed.
func (c *component) readListFor(ctx context.Context) error {
	select {
	case c.list.turn <- struct{}{}:
	default:
		return errListTaken
	}
	defer c.list.unlock()
	now := c.clock.Now()
	if now.Sub(c.list.finished) < c.list.memory() {
		return nil
	}
	if now.Before(c.list.retryAt) && c.list.reset == c.resets.Load() {
		return fmt.Errorf("the list of authorizers could not be read; it is tried again at %s", c.list.retryAt.UTC().Format(time.TimeOnly))
	}
	return c.readToEnd(ctx)
}

// noteListed notes that the list is known: appids that are not in it are unknown. After a
// restart it is known only if the store has all of it.
func (c *component) noteListed(ctx context.Context, started time.Time) {
	err := c.record.update(ctx, func(p platformRecord) (platformRecord, bool) {
		p.listed = started
		return p, !c.list.unsaved
	})
	if err != nil {
		c.log.Warn("the date of the list could not be saved; it is read again at the next start", "component", c.appID, "error", err)
	}
	c.mu.Lock()
	c.listWanted = false
	c.mu.Unlock()
	c.markListed()
	c.log.Info("the list of authorizers was read", "component", c.appID, "authorizers", c.list.offset)
	if n := c.list.skipped; n > 0 {
		c.log.Warn("the list of authorizers has items without an appid that can be read; they were skipped", "component", c.appID, "skipped", n)
	}
}

// renewUnclear has the authorizers renewed of which the list leaves something open: those
// that are held but not listed, as the news that they went may have been lost, and those
// that are listed without a refresh token. Their renewals find out, under the rate limit.
// Whom WeChat gave a token lately had not gone then: keys in trouble may have the list read
// each minute, and that must not use up the quotas of those whom it leaves out.
func (c *component) renewUnclear(ctx context.Context, seen map[string]struct{}, started time.Time) error {
	return c.ledger.each(ctx, KindAuthorizer, func(key Key, r *record, _ store.Version) bool {
		_, listed := seen[key.AppID]
		lately := started.Sub(r.obtained).Abs() < listInterval
		gone, bare := !listed && !lately && r.authorized.Before(started), listed && r.refreshToken.IsZero()
		if key.Component == c.appID && r.known() && r.verdict == StateUnknown && (gone || bare) {
			if _, err := c.directory.entryOf(ctx, key); err == nil {
				c.table.renewAhead(key)
			}
		}
		return ctx.Err() == nil
	})
}

// learn brings the store up to what an answer to an app showed of an authorizer.
func (c *component) learn(ctx context.Context, a wechat.Authorizer, seen time.Time) {
	m, err := c.ledger.mergePage(ctx, c.appID, []wechat.Authorizer{a}, seen)
	c.follow(m)
	if err != nil && !errors.Is(err, errUnsaved) {
		c.log.Warn("what an app's call showed of an authorizer could not be stored", "component", c.appID, "authorizer", a.AppID, "error", err)
	}
}
