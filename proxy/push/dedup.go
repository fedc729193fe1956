package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxRemembered bounds how many pushes are remembered, at some hundred bytes each.
// Handlers are idempotent, so one that is forgotten too early costs a look at the store.
const maxRemembered = 50_000

// errAbandoned is the outcome of a push whose handler panicked.
var errAbandoned = errors.New("the handler panicked")

// dedup handles each push once. Copies that come at the same time share one outcome. A
// push is remembered once its handler has succeeded, and for as long as its timestamp would
// be accepted again. It is safe for concurrent use.
type dedup struct {
	mu       sync.Mutex
	limit    int
	inFlight map[string]*flight
	until    map[string]time.Time
	order    []string // until's keys, in the order of first receipt
}

// flight is one push being handled. err may be read once done is closed.
type flight struct {
	done chan struct{}
	err  error
}

// outcome says what became of a push.
type outcome uint8

const (
	handled  outcome = iota // by this call
	repeated                // it had been handled before
	shared                  // with a copy that came at the same time
)

func newDedup(limit int) *dedup {
	return &dedup{limit: limit, inFlight: map[string]*flight{}, until: map[string]time.Time{}}
}

// do calls handle for the push id, unless that has succeeded before or is in flight. It
// remembers a success until until. A wait for a copy ends with ctx.
func (d *dedup) do(ctx context.Context, id string, now, until time.Time, handle func(context.Context) error) (outcome, error) {
	d.mu.Lock()
	d.forgetLocked(now)
	if _, known := d.until[id]; known {
		d.rememberLocked(id, until)
		d.mu.Unlock()
		return repeated, nil
	}
	if f, underWay := d.inFlight[id]; underWay {
		d.mu.Unlock()
		return shared, f.wait(ctx)
	}
	f := &flight{done: make(chan struct{}), err: errAbandoned}
	d.inFlight[id] = f
	d.mu.Unlock()

	defer d.finish(id, until, f)
	f.err = handle(ctx)
	return handled, f.err
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish ends a flight, even if its handler panicked.
func (d *dedup) finish(id string, until time.Time, f *flight) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inFlight, id)
	if f.err == nil {
		d.rememberLocked(id, until)
	}
	close(f.done)
}

// rememberLocked remembers id until until.
func (d *dedup) rememberLocked(id string, until time.Time) {
	old, known := d.until[id]
	if !known {
		d.order = append(d.order, id)
	}
	if until.After(old) {
		d.until[id] = until
	}
	for len(d.order) > d.limit {
		d.dropOldestLocked()
	}
}

// forgetLocked drops the oldest pushes whose time is over.
func (d *dedup) forgetLocked(now time.Time) {
	for len(d.order) > 0 && d.until[d.order[0]].Before(now) {
		d.dropOldestLocked()
	}
}

func (d *dedup) dropOldestLocked() {
	delete(d.until, d.order[0])
	d.order = d.order[1:]
	if len(d.order) == 0 {
		d.order = nil // free the array
	}
}
