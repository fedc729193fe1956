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
	now := b.clock.now()
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
	return max(time.Second, retryAt.Sub(b.clock.now()))
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
	now := b.clock.now()
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
	now, reset := b.clock.now(), b.resets.Load()
	if l.seen == nil || now.Sub(l.paged) > listPatience {
		l.offset, l.seen, l.started = 0, map[string]struct{}{}, now
	}
	err := b.readPages(ctx, c)
	var silent *wechat.NoAnswerError
	if errors.As(err, &silent) {
		b.pause()
	}
	if err != nil {
		l.fails++
		l.retryAt = b.clock.now().Add(b.pauseAfter(err, l.fails))
		l.reset = reset
		b.metrics.Reconciliation("error")
		b.log.Warn("the list of authorizers could not be read to its end; it goes on later", "component", c.appID, "offset", l.offset, "error", err)
		return err
	}
	seen, started := l.seen, l.started
	l.seen, l.fails, l.retryAt, l.finished = nil, 0, time.Time{}, b.clock.now()
	b.metrics.Reconciliation("ok")
	b.listRead(ctx, c, started)
	return b.noteDoubtful(ctx, c, seen, started)
}

func (b *Broker) readPages(ctx context.Context, c *component) error {
	l := &c.listing
	for {
		var total int
		page, err := withToken(b, componentKey(c.appID), func(token secret.Text) ([]wechat.Authorizer, error) {
			page, n, err := b.wechat.AuthorizerList(ctx, c.appID, token, l.offset)
			total = n
			return page, err
		})
		if err != nil {
			return err
		}
		if err := b.mergePage(ctx, c.appID, page, l.started); err != nil {
			return err
		}
		for _, a := range page {
			l.seen[a.AppID] = struct{}{}
		}
		l.offset += len(page)
		l.paged = b.clock.now()
		if len(page) == 0 || l.offset >= total {
			return nil
		}
	}
}

// listRead notes that the list is known: appids that are not in it are unknown.
func (b *Broker) listRead(ctx context.Context, c *component, started time.Time) {
	err := b.updatePlatform(ctx, c, func(p platformRecord) (platformRecord, bool) {
		p.listed = started
		return p, true
	})
	if err != nil {
		b.log.Warn("the date of the list could not be saved; it is read again at the next start", "component", c.appID, "error", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.listing.wanted = false
	c.markListed()
	b.log.Info("the list of authorizers was read", "component", c.appID, "authorizers", c.listing.offset)
}

func (c *component) markListed() {
	select {
	case <-c.listed:
	default:
		close(c.listed)
	}
}

// mergePage brings the store up to one page of the list, in one write.
func (b *Broker) mergePage(ctx context.Context, appID string, page []wechat.Authorizer, started time.Time) error {
	keys := make([]Key, len(page))
	for i, a := range page {
		keys[i] = Key{Kind: KindAuthorizer, AppID: a.AppID}
	}
	conflict, err := b.mergeLocked(ctx, appID, keys, page, started)
	if err != nil || !conflict {
		return err
	}
	for _, a := range page { // another replica was faster with one of them
		if err := b.mergeOne(ctx, appID, a, started); err != nil {
			return err
		}
	}
	return nil
}

// mergeOne brings the store up to what WeChat, asked at that time, showed of one
// account.
func (b *Broker) mergeOne(ctx context.Context, component string, a wechat.Authorizer, asked time.Time) error {
	key := Key{Kind: KindAuthorizer, AppID: a.AppID}
	var before record
	rec, err := b.update(ctx, key, func(r *record) bool {
		before = *r
		return merge(r, a, component, asked)
	})
	if rec == nil || before.component == rec.component && before.verdict == rec.verdict {
		return err
	}
	if revived(&before, rec) {
		b.follow(key, event{what: happenedAuthorized})
	}
	b.directory.changed()
	return err
}

// revived reports whether what was merged into a record ended what stood against the
// key: a verdict, or the trouble of another component's. It is pure.
func revived(before, after *record) bool {
	lifted := before.verdict != StateUnknown && after.verdict == StateUnknown
	return lifted || before.component != "" && before.component != after.component
}

func (b *Broker) mergeLocked(ctx context.Context, appID string, keys []Key, page []wechat.Authorizer, started time.Time) (conflict bool, err error) {
	defer b.locks.all(keys)()
	var changes []change
	changed := map[Key]*record{}
	var back []Key // revived
	for i, a := range page {
		e := b.inMemory(keys[i])
		cur, base, err := b.current(ctx, keys[i], e)
		if err != nil {
			return false, err
		}
		next := *cur
		if changed[keys[i]] != nil || !merge(&next, a, appID, started) {
			continue
		}
		c, err := b.records.change(keys[i], base, &next)
		if err != nil {
			return false, err
		}
		changes, changed[keys[i]] = append(changes, c), &next
		if revived(cur, &next) {
			back = append(back, keys[i])
		}
	}
	if len(changes) == 0 {
		return false, nil
	}
	if err := b.records.write(ctx, changes...); err != nil {
		return errors.Is(err, ErrConflict), ignore(err, ErrConflict)
	}
	for key, rec := range changed {
		b.adopt(b.inMemory(key), rec)
	}
	for _, key := range back {
		b.follow(key, event{what: happenedAuthorized})
	}
	b.directory.changed()
	return false, nil
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// merge brings r up to what the list, asked for at started, says of an account,
// and reports whether that changed it. It is pure. A refresh token that we hold is
// never replaced unless the merchant authorised again since: ours came last. What
// the list shows is kept beside it.
func merge(r *record, a wechat.Authorizer, component string, started time.Time) bool {
	again := a.AuthorizedAt.After(r.authorized)
	switch {
	case r.component != "" && r.component != component:
		if r.verdict == StateUnknown && !again {
			return false // the other component's, and alive there
		}
		r.forget()
	case r.verdict == StateUnauthorized:
		if r.judged.After(started) {
			return false // taken back while the list was read
		}
		r.forget()
	case r.component == component && !again && !r.refreshToken.IsZero():
		if a.RefreshToken.IsZero() || a.RefreshToken.Equal(r.refreshToken) || a.RefreshToken.Equal(r.spare) || r.obtained.After(started) {
			return false
		}
		r.spare = a.RefreshToken
		if r.verdict == StateNeedsAuthorization {
			r.judge(StateUnknown, time.Time{}, "", 0)
		}
		return true
	case r.component == component && a.RefreshToken.IsZero() && !again:
		return false // known, and no news
	}
	if r.learnRefreshToken(a.RefreshToken, started) {
		r.judge(StateUnknown, time.Time{}, "", 0)
	}
	r.component = component
	if again {
		r.authorized = a.AuthorizedAt
	}
	if r.generation == 0 {
		r.generation = 1
	}
	return true
}
