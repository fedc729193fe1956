package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
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
	reset    uint64 // of Broker.resets: after the next one retryAt holds no longer

	// Guarded by Broker.mu.
	wanted   bool     // asked for by somebody
	doubtful []string // appids of which the last list left something open
}

// take waits for the turn until ctx ends: whoever has it may wait for WeChat.
func (l *listing) take(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the list of authorizers: %w", ctx.Err())
	}
}

func (l *listing) give() { <-l.turn }

// memory is how long the list that was read last answers for.
func (l *listing) memory() time.Duration {
	return max(listMemory, time.Duration(l.offset/wechat.ListPageSize)*listPageMemory)
}

// Reconcile has the component's list of authorizers compared with what is held,
// soon. It does not wait for it.
func (b *Broker) Reconcile(appID string) {
	if c := b.component(appID); c != nil {
		b.mu.Lock()
		c.listing.wanted = true
		b.mu.Unlock()
		b.attend(appID)
	}
}

// readList reads the list if it is time, and returns when to look again.
func (b *Broker) readList(ctx context.Context, c *component) time.Duration {
	now := b.clock.Now()
	if wait := b.untilList(ctx, c, now); wait > 0 {
		return wait
	}
	if b.held(componentKey(c.appID)) == nil || b.isPaused() {
		return time.Minute // the token, or WeChat's return, wakes us
	}
	if c.listing.take(ctx) != nil {
		return time.Minute // the broker ends
	}
	err := b.reconcile(ctx, c)
	retryAt := c.listing.retryAt
	c.listing.give()
	if err == nil {
		return listInterval
	}
	var blocked *blockedError
	if errors.As(err, &blocked) {
		return time.Minute
	}
	return max(time.Second, retryAt.Sub(b.clock.Now()))
}

func (b *Broker) untilList(ctx context.Context, c *component, now time.Time) time.Duration {
	b.mu.Lock()
	wanted := c.listing.wanted
	b.mu.Unlock()
	p, err := b.platform(ctx, c.appID)
	if err != nil {
		return time.Minute
	}
	if c.listing.take(ctx) != nil {
		return time.Minute // the broker ends
	}
	due := now
	if last := latest(now, p.listed, c.listing.finished); !wanted && !last.IsZero() {
		due = last.Add(listInterval)
	}
	if c.listing.reset == b.resets.Load() && c.listing.retryAt.After(due) {
		due = c.listing.retryAt
	}
	c.listing.give()
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

// reconcileFor reads the list for a key in trouble, unless it was read just now. It
// does not wait while somebody else reads it: the few workers that there are would
// all wait here for one merchant's trouble, and nobody's token would be renewed.
func (b *Broker) reconcileFor(ctx context.Context, appID string) error {
	c := b.component(appID)
	if c == nil {
		return nil
	}
	select {
	case c.listing.turn <- struct{}{}:
	default:
		return errListTaken
	}
	defer c.listing.give()
	now := b.clock.Now()
	if now.Sub(c.listing.finished) < c.listing.memory() {
		return nil
	}
	if now.Before(c.listing.retryAt) && c.listing.reset == b.resets.Load() {
		return fmt.Errorf("the list of authorizers could not be read; it is tried again at %s", c.listing.retryAt.UTC().Format(time.TimeOnly))
	}
	return b.reconcile(ctx, c)
}

// reconcile reads the list to its end and merges it into the store. The
// turn is the caller's.
func (b *Broker) reconcile(ctx context.Context, c *component) error {
	l := &c.listing
	now, reset := b.clock.Now(), b.resets.Load()
	if l.seen == nil || now.Sub(l.paged) > listPatience {
		l.offset, l.skipped, l.unsaved, l.seen, l.started = 0, 0, false, map[string]struct{}{}, now
	}
	err := b.readPages(ctx, c)
	var silent *wechat.NoAnswerError
	if errors.As(err, &silent) {
		b.pause(silent)
	}
	if err != nil {
		l.fails++
		l.retryAt = b.clock.Now().Add(b.pauseAfter(err, l.fails))
		l.reset = reset
		b.metrics.Reconciliation("error")
		b.log.Warn("the list of authorizers could not be read to its end; it goes on later", "component", c.appID, "offset", l.offset, "error", err)
		return err
	}
	seen, started := l.seen, l.started
	l.seen, l.fails, l.retryAt, l.finished = nil, 0, time.Time{}, b.clock.Now()
	b.metrics.Reconciliation("ok")
	b.listRead(ctx, c, started)
	return b.noteDoubtful(ctx, c, seen, started)
}

func (b *Broker) readPages(ctx context.Context, c *component) error {
	l := &c.listing
	for {
		page, err := withToken(b, componentKey(c.appID), "api_get_authorizer_list", func(token secret.Text) (wechat.Page, error) {
			return b.wechat.AuthorizerList(ctx, c.appID, token, l.offset)
		})
		if err != nil {
			return err
		}
		err = b.mergePage(ctx, c.appID, page.Authorizers, l.started)
		if err != nil && !errors.Is(err, errUnsaved) {
			return err
		}
		l.unsaved = l.unsaved || err != nil
		for _, a := range page.Authorizers {
			l.seen[a.AppID] = struct{}{}
		}
		b.metrics.ListItemsSkipped(page.Skipped)
		l.skipped += page.Skipped
		l.offset += page.Len()
		l.paged = b.clock.Now()
		if page.Len() == 0 || l.offset >= page.Total {
			return nil
		}
	}
}

// listRead notes that the list is known: appids that are not in it are unknown. After a
// restart it is known only if the store has all of it.
func (b *Broker) listRead(ctx context.Context, c *component, started time.Time) {
	err := b.updatePlatform(ctx, c, func(p platformRecord) (platformRecord, bool) {
		p.listed = started
		return p, !c.listing.unsaved
	})
	if err != nil {
		b.log.Warn("the date of the list could not be saved; it is read again at the next start", "component", c.appID, "error", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.listing.wanted = false
	c.markListed()
	b.log.Info("the list of authorizers was read", "component", c.appID, "authorizers", c.listing.offset)
	if n := c.listing.skipped; n > 0 {
		b.log.Warn("the list of authorizers has items without an appid that can be read; they were skipped", "component", c.appID, "skipped", n)
	}
}

func (c *component) markListed() {
	select {
	case <-c.listed:
	default:
		close(c.listed)
	}
}
