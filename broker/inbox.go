package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	inboxPrefix = "inbox/"
	// inboxPatience is after how long an authorization that WeChat refuses to tell
	// more of is given up; the list of authorizers brings it back if it is real.
	inboxPatience = 24 * time.Hour
)

// inbox is the authorizations that were acknowledged and wait for the exchange of their
// code, and the codes that were exchanged already. It is safe for concurrent use;
// nothing is waited for under its lock.
type inbox struct {
	*env
	table      *table
	ledger     *ledger
	directory  *directory
	components *components
	wake       chan struct{} // capacity 1, for run
	listed     atomic.Bool   // pending has what an earlier run left

	mu      sync.Mutex
	pending map[Key]*pending
	flights map[string]*flight // exchanges under way, by the name of their code
	unsaved map[string]change  // exchanges that the store did not take, by their record's name
	refused map[Key]time.Time  // authorizations that the store did not take, and when, by our own clock
}

// pending is an authorization that waits.
type pending struct {
	done chan struct{} // closed once exchanged
	kept bool          // its item is in the store, or was
}

func newInbox(d *directory, all *components) *inbox {
	return &inbox{
		env: d.env, table: d.table, ledger: d.ledger, directory: d, components: all, wake: make(chan struct{}, 1),
		pending: map[Key]*pending{}, flights: map[string]*flight{}, unsaved: map[string]change{},
		refused: map[Key]time.Time{},
	}
}

// inboxItem is an authorization event that was answered and is not done yet. It
// is sealed like every record. Times are milliseconds since 1970.
type inboxItem struct {
	Component string `json:"component"`
	AppID     string `json:"appid,omitempty"`
	Code      string `json:"code,omitempty"`
	Expires   int64  `json:"expires,omitempty"`
	Created   int64  `json:"created"`
}

func (i inboxItem) key() Key { return authorizerKey(i.Component, i.AppID) }

func (i inboxItem) code() secret.Text { return secret.New(i.Code) }

// inboxName sorts by time, and is the same for a repeat.
func inboxName(component string, created time.Time, id string) string {
	return fmt.Sprintf("%s%s/%013d-%s", inboxPrefix, component, millis(created), id)
}

// attempts is what memory knows of an item that failed. after is by our own clock,
// which no measured skew moves; it holds until the next of env.resets.
type attempts struct {
	failed int
	after  time.Time
	reset  uint64
	// unsaved: what the item asks for is done, and memory has what came of it; the
	// item waits for the store.
	unsaved bool
}

// run does what answered events ask for, those of an earlier run first, until ctx ends.
func (x *inbox) run(ctx context.Context) {
	tried := map[string]attempts{}
	for {
		wait := x.workAll(ctx, tried)
		select {
		case <-ctx.Done():
			return
		case <-x.wake:
		case <-time.After(wait):
		}
	}
}

// inboxRecord is an item as the store has it.
type inboxRecord struct {
	name    string
	version store.Version
	item    inboxItem
}

func (x *inbox) list(ctx context.Context) ([]inboxRecord, error) {
	var items []inboxRecord
	gone := x.keptPending()
	err := x.ledger.list(ctx, inboxPrefix, func(name string, got opened) bool {
		var item inboxItem
		if got.plain != nil && json.Unmarshal(got.plain, &item) == nil {
			items = append(items, inboxRecord{name, got.version, item})
			x.markPending(item.key(), true)
			delete(gone, item.key())
		}
		return ctx.Err() == nil
	})
	if err == nil && ctx.Err() == nil {
		x.listed.Store(true)
		for key := range gone {
			x.markDone(key) // another sidecar exchanged it
		}
	}
	return items, err
}

// workAll tries each item that is due and returns when to come back.
func (x *inbox) workAll(ctx context.Context, tried map[string]attempts) time.Duration {
	// Apps wait for the first list, to hear of what has nothing to do with WeChat.
	if x.table.paused() && x.listed.Load() {
		return probeInterval
	}
	wait := time.Minute
	items, err := x.list(ctx)
	if err != nil {
		x.log.Error("the inbox cannot be read; authorizations wait", "error", err)
		return wait
	}
	reset := x.resets.Load()
	for _, r := range items {
		now, t := x.clock.Local(), tried[r.name]
		if left := t.after.Sub(now); left > 0 && t.reset == reset {
			wait = min(wait, left)
			continue
		}
		if ctx.Err() != nil || x.table.paused() {
			return probeInterval // the others would only wait in vain as well
		}
		err := x.work(ctx, r, t.unsaved)
		var blocked *blockedError
		switch {
		case errors.As(err, &blocked):
			// The component's token brings us back, at once.
		case err != nil:
			t.failed++
			pause := x.pauseAfter(err, t.failed)
			tried[r.name] = attempts{failed: t.failed, after: now.Add(pause), reset: reset, unsaved: errors.Is(err, errUnsaved)}
			wait = min(wait, pause)
		default:
			delete(tried, r.name)
			x.markDone(r.item.key())
		}
	}
	return wait
}

// work does what one event asks for, unless that is done, and takes it out of the
// inbox. An error means that it is to be tried again; one that wraps errUnsaved, that
// only the store is wanting.
func (x *inbox) work(ctx context.Context, r inboxRecord, done bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewalTimeout)
	defer cancel()
	item, gone := r.item, deletion(r.name, r.version)
	if done {
		return x.takeOut(ctx, item, gone)
	}
	err := errSpent
	if item.Code != "" {
		_, err = x.exchange(ctx, exchange{item.Component, item.code(), moment(item.Expires), moment(item.Created), []change{gone}})
	}
	if codeIsNoUse(err) {
		err = x.recover(ctx, item)
	}
	x.table.pauseFor(err)
	if errors.Is(err, errUnsaved) {
		return err
	}
	about := []any{"component", item.Component, "authorizer", item.AppID, "error", err}
	if err != nil && x.clock.Now().Sub(moment(item.Created)) < inboxPatience {
		x.log.Warn("an authorization waits", about...)
		return err
	}
	if err != nil {
		x.log.Error("an authorization is given up; the list of authorizers brings it back if it is real", about...)
	}
	return x.takeOut(ctx, item, gone)
}

// takeOut takes an item that is done out of the inbox. Not before the store has what
// came of it: after a crash the inbox is all that knows of the authorization.
func (x *inbox) takeOut(ctx context.Context, item inboxItem, gone change) error {
	if err := x.ledger.saveNow(ctx, item.key()); err != nil {
		return err
	}
	if item.AppID == "" && x.ledger.hasUnsaved() {
		return errUnsaved // whose it is, the exchange has said
	}
	if err := x.ledger.write(ctx, gone); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %w", errUnsaved, err)
	}
	return nil
}
