package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxRemembered bounds the memory of pushes, at some hundred bytes each. Handlers
// are idempotent, so one forgotten too early costs a second look at the store.
const maxRemembered = 50_000

// errAbandoned is the outcome of a push whose handler panicked.
var errAbandoned = errors.New("the handler panicked")

// memory knows which pushes have been handled, and lets copies of one push that
// come together share one outcome. A push is remembered only when its handler
// succeeded, and only for as long as its timestamp could let it in again. It is
// safe for concurrent use.
type memory struct {
	mu      sync.Mutex
	limit   int
	flights map[string]*flight
	until   map[string]time.Time
	order   []string // of until's keys, by the time of their first receipt
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

func newMemory(limit int) *memory {
	return &memory{limit: limit, flights: map[string]*flight{}, until: map[string]time.Time{}}
}

// do calls handle for the push id, unless it succeeded before or is under way, and
// remembers a success until the given time. A wait for a copy ends with ctx.
func (m *memory) do(ctx context.Context, id string, now, until time.Time, handle func(context.Context) error) (outcome, error) {
	m.mu.Lock()
	m.forget(now)
	if _, known := m.until[id]; known {
		m.remember(id, until)
		m.mu.Unlock()
		return repeated, nil
	}
	if f, underWay := m.flights[id]; underWay {
		m.mu.Unlock()
		return shared, f.wait(ctx)
	}
	f := &flight{done: make(chan struct{}), err: errAbandoned}
	m.flights[id] = f
	m.mu.Unlock()

	defer m.land(id, until, f)
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

// land ends a flight, also when its handler panicked.
func (m *memory) land(id string, until time.Time, f *flight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.flights, id)
	if f.err == nil {
		m.remember(id, until)
	}
	close(f.done)
}

// remember needs the lock.
func (m *memory) remember(id string, until time.Time) {
	old, known := m.until[id]
	if !known {
		m.order = append(m.order, id)
	}
	if until.After(old) {
		m.until[id] = until
	}
	for len(m.order) > m.limit {
		m.dropOldest()
	}
}

// forget drops what is over, from the oldest on. It needs the lock.
func (m *memory) forget(now time.Time) {
	for len(m.order) > 0 && m.until[m.order[0]].Before(now) {
		m.dropOldest()
	}
}

func (m *memory) dropOldest() {
	delete(m.until, m.order[0])
	m.order = m.order[1:]
	if len(m.order) == 0 {
		m.order = nil // give the array back
	}
}
