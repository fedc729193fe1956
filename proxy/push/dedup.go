package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxRemembered bounds how many pushes are remembered, at some hundred bytes each. An
	// event that is forgotten too early costs a look at the store. Messages come again within
	// seconds if at all; 50,000 are more than come in so short a time.
	maxRemembered = 50_000
	// maxReplies bounds the bytes of the replies that are remembered.
	maxReplies = 16 << 20
)

// errAbandoned is the outcome of a push whose handler panicked.
var errAbandoned = errors.New("the handler panicked")

// dedup handles each push once. Copies that come at the same time share one outcome. A
// push is remembered with its reply once its handler has succeeded, and for as long as its
// timestamp would be accepted again. It is safe for concurrent use.
type dedup struct {
	claims          *claims
	mu              sync.Mutex
	limit, maxBytes int
	inFlight        map[string]*flight
	known           map[string]known
	order           []string // known's keys, in the order of first receipt
	bytes           int      // of known's replies
}

// known is one push that was handled.
type known struct {
	until time.Time
	reply []byte
}

// flight is one push being handled. reply and err may be read once done is closed.
type flight struct {
	done  chan struct{}
	reply []byte
	err   error
}

// outcome says what became of a push.
type outcome uint8

const (
	handled  outcome = iota // by this call
	repeated                // it had been handled before, maybe by another sidecar
	shared                  // with a copy that came at the same time, maybe to another sidecar
)

// newDedup returns a dedup that remembers up to limit pushes and maxBytes of replies, and asks
// other sidecars by c.
func newDedup(limit, maxBytes int, c *claims) *dedup {
	return &dedup{claims: c, limit: limit, maxBytes: maxBytes, inFlight: map[string]*flight{}, known: map[string]known{}}
}

// do calls handle for the push id, unless that has succeeded before or is in flight, and
// returns the reply of the call that succeeded. It remembers a success until until. A wait
// for a copy ends with ctx.
func (d *dedup) do(
	ctx context.Context, id string, now, until time.Time, handle func(context.Context) ([]byte, error),
) (outcome, []byte, error) {
	d.mu.Lock()
	d.forgetLocked(now)
	if k, is := d.known[id]; is {
		d.rememberLocked(id, known{until, k.reply})
		d.mu.Unlock()
		return repeated, k.reply, nil
	}
	if f, underWay := d.inFlight[id]; underWay {
		d.mu.Unlock()
		reply, err := f.wait(ctx)
		return shared, reply, err
	}
	f := &flight{done: make(chan struct{}), err: errAbandoned}
	d.inFlight[id] = f
	d.mu.Unlock()

	defer d.finish(id, until, f)
	how, reply, err := d.claims.do(ctx, id, until.Sub(now), handle)
	f.reply, f.err = reply, err
	return how, reply, err
}

func (f *flight) wait(ctx context.Context) ([]byte, error) {
	select {
	case <-f.done:
		return f.reply, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// finish ends a flight, even if its handler panicked.
func (d *dedup) finish(id string, until time.Time, f *flight) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inFlight, id)
	if f.err == nil {
		d.rememberLocked(id, known{until, f.reply})
	}
	close(f.done)
}

// rememberLocked remembers the push id. One that it knows is remembered no shorter than
// before.
func (d *dedup) rememberLocked(id string, k known) {
	old, isKnown := d.known[id]
	if !isKnown {
		d.order = append(d.order, id)
		d.bytes += len(k.reply)
	}
	if k.until.After(old.until) {
		d.known[id] = k
	}
	for len(d.order) > d.limit || d.bytes > d.maxBytes {
		d.dropOldestLocked()
	}
}

// forgetLocked drops the oldest pushes whose time is over.
func (d *dedup) forgetLocked(now time.Time) {
	for len(d.order) > 0 && d.known[d.order[0]].until.Before(now) {
		d.dropOldestLocked()
	}
}

func (d *dedup) dropOldestLocked() {
	d.bytes -= len(d.known[d.order[0]].reply)
	delete(d.known, d.order[0])
	d.order = d.order[1:]
	if len(d.order) == 0 {
		d.order = nil // free the array
	}
}
