package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// DefaultLimit is how many bytes the outbox holds, some hundred thousand events.
const DefaultLimit = 64 << 20

// ErrFull is wrapped by the error of [Outbox.Add] where the bound is reached.
var ErrFull = errors.New("the outbox is full")

// Target is an app that gets events. It must be safe for concurrent use.
type Target interface {
	// Name tells apps apart and is kept with events: two targets of one name are one
	// app. It is not shown.
	Name() string
	// String is the name in logs.
	String() string
	// Wants reports whether the app is to get e. It must not block.
	Wants(e *Event) bool
	// Deliver makes one attempt, until ctx ends at most. nil means that the app has e.
	Deliver(ctx context.Context, e *Event) error
}

// Options configure an [Outbox]. Store and Seal are needed; the rest has useful zero values.
type Options struct {
	// Store keeps the events. Where it is a [store.Shared], one of the outboxes that have it
	// delivers, and [Outbox.Follow] must get the news of it.
	Store store.Store
	Seal  *seal.Keyring
	// Targets are the apps, until [Outbox.SetTargets].
	Targets []Target
	// Hold reports whether an event has to wait for something other than its target. The
	// wait is no failure and has no end of its own. It must not block; nil holds nothing.
	Hold func(e *Event) bool
	// Limit bounds what is kept, in bytes of the store's records; 0 means [DefaultLimit].
	Limit int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics and Log may be nil.
	Metrics *metrics.Metrics
	Log     *slog.Logger
}

// Outbox keeps events until apps have them. It is safe for concurrent use.
type Outbox struct {
	Options
	wake       chan struct{} // capacity 1, for Run
	redelivers sync.Mutex    // has calls of Redeliver and RedeliverOne wait for each other

	mu      sync.Mutex // no store is asked and nothing delivered under it
	targets []Target
	items   map[string]*item // what waits, by the event's ID
	queues  map[string]*queue
	dead    []deadLetter // in the order of their names
	size    int64        // of items and dead letters, and of events being added
	last    int64        // the latest record.Added
	// unanswered has the names of records that may be in the store, though their Puts failed, by
	// the events' IDs.
	unanswered map[string][]string
	sharing    sharing
}

// Open returns an outbox with what the store has of it. It delivers nothing; [Outbox.Run] does. A
// record that cannot be read is logged and left alone.
func Open(ctx context.Context, opts Options) (*Outbox, error) {
	if opts.Limit == 0 {
		opts.Limit = DefaultLimit
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	o := &Outbox{
		Options: opts, wake: make(chan struct{}, 1), items: map[string]*item{}, queues: map[string]*queue{},
		unanswered: map[string][]string{}, sharing: newSharing(opts.Store),
	}
	if err := o.load(ctx); err != nil {
		return nil, fmt.Errorf("read the events that wait for delivery: %w", err)
	}
	o.SetTargets(opts.Targets)
	o.Metrics.Limit("outbox", o.used)
	return o, nil
}

// listPage is how many records are read at once.
const listPage = 256

// load reads the store. Nobody else has the outbox yet.
func (o *Outbox) load(ctx context.Context) error {
	for _, prefix := range []string{waitingPrefix, deadPrefix} {
		err := o.walk(ctx, prefix, func(named store.Named) { o.loadRecord(ctx, prefix, named) })
		if err != nil {
			return err
		}
	}
	return nil
}

// walk calls fn with what the store has below prefix, in the order of names.
func (o *Outbox) walk(ctx context.Context, prefix string, fn func(store.Named)) error {
	for after := ""; ; {
		page, err := o.Store.List(ctx, prefix, after, listPage)
		if err != nil {
			return err
		}
		for _, named := range page {
			fn(named)
			after = named.Name
		}
		if len(page) < listPage {
			return nil
		}
	}
}

func (o *Outbox) loadRecord(ctx context.Context, prefix string, named store.Named) {
	r, ok := o.open(named)
	if !ok {
		return
	}
	size := int64(len(named.Name) + len(named.Sealed))
	o.size += size
	o.last = max(o.last, r.Added)
	switch {
	case prefix == deadPrefix:
		o.dead = append(o.dead, newDeadLetter(r, named.Name, named.Version(), size))
	case o.items[r.ID] == nil:
		o.items[r.ID] = newItem(r, named.Name, named.Version(), size)
	default:
		// A write whose answer was lost, and WeChat sent again. Both have one ID; if this
		// one cannot be deleted now, the next start finds it.
		o.size -= size
		_ = o.Store.Put(ctx, deletion(named.Name, named.Version()))
	}
}

// open returns the record, unless it cannot be read, which is logged.
func (o *Outbox) open(named store.Named) (*record, bool) {
	r, err := o.decode(named)
	if err != nil {
		o.Log.Error("an event in the store cannot be read and is not delivered", "record", named.Name, "error", err)
	}
	return r, err == nil
}

// SetTargets replaces the targets. What waits is then owed to the new ones, as the package says.
func (o *Outbox) SetTargets(targets []Target) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.targets = slices.Clone(targets)
	o.requeueLocked()
	o.wakeUp()
}

// owedLocked returns the names of the targets that it is owed to.
func (o *Outbox) owedLocked(it *item) []string {
	var owed []string
	for _, t := range o.targets {
		name := t.Name()
		if t.Wants(&it.Event) && !slices.Contains(it.had, name) && !slices.Contains(owed, name) {
			owed = append(owed, name)
		}
	}
	return owed
}

// targetLocked returns the target of that name that wants it; nil for none.
func (o *Outbox) targetLocked(name string, it *item) Target {
	for _, t := range o.targets {
		if t.Name() == name && t.Wants(&it.Event) {
			return t
		}
	}
	return nil
}

// wakeUp has Run look at what is due. It never blocks.
func (o *Outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Stats returns how many events wait, how many are dead letters, and how old the oldest that
// waits is.
func (o *Outbox) Stats() (waiting, dead int, oldest time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range o.items {
		oldest = max(oldest, o.Now().Sub(it.added))
	}
	return len(o.items), len(o.dead), oldest
}

// Delivers reports whether this sidecar delivers events: one that shares its store with others
// does while it has the lease, one that is alone always.
func (o *Outbox) Delivers() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.deliversLocked()
}

// DeliveredBy returns which other sidecar delivers events, as the store names it; empty where this
// one does, and while that is not known.
func (o *Outbox) DeliveredBy() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sharing.by
}

// used returns how much of the bound is used, from 0 to 1.
func (o *Outbox) used() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return float64(o.size) / float64(o.Limit)
}

// sortedLocked returns what waits in the order of its Adds.
func (o *Outbox) sortedLocked() []*item {
	all := make([]*item, 0, len(o.items))
	for _, it := range o.items {
		all = append(all, it)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].added.Compare(all[j].added) < 0 })
	return all
}
