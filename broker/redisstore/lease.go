package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// releaseWithin bounds how long giving a lease back is waited for.
const releaseWithin = 500 * time.Millisecond

// Lock implements [store.Locker].
func (s *Store) Lock(ctx context.Context, name string, o store.LeaseOptions) (store.Lease, error) {
	if o.For < time.Millisecond {
		return nil, fmt.Errorf("lock %s: a lease of %s is none", name, o.For)
	}
	l := &lease{store: s, name: name, lasts: o.For}
	asked := s.now()
	answer, err := s.do(ctx, acquireScript, []string{s.keys.lease + name, s.keys.record + name, s.keys.fence},
		[]string{s.writer, milliseconds(o.For), decimal(o.Generation), decimal(o.Fence)})
	if err != nil { // Redis may have given it: then asking again gets it, or it ends by itself
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	said, err := answer.AsStrSlice()
	if err != nil || len(said) == 0 {
		return nil, fmt.Errorf("lock %s: %w", name, cmp.Or(err, errOddAnswer))
	}
	switch {
	case said[0] == "stale":
		return nil, fmt.Errorf("lock %s: %w", name, store.ErrConflict)
	case said[0] == "held" && len(said) == 3:
		left, err := strconv.ParseInt(said[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		return nil, &store.HeldError{Name: name, By: said[2], Left: max(0, time.Duration(left)*time.Millisecond)}
	case said[0] == "mine" && len(said) == 2:
		if l.fence, err = strconv.ParseUint(said[1], 10, 64); err != nil {
			return nil, fmt.Errorf("lock %s: fence: %w", name, err)
		}
		l.until = asked.Add(o.For)
		return l, nil
	}
	return nil, fmt.Errorf("lock %s: the answer %q is unknown", name, said[0])
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// lease is a [store.Lease] in Redis.
type lease struct {
	store *Store
	name  string
	fence uint64
	lasts time.Duration

	mu    sync.Mutex
	until time.Time // zero once it was given back or lost
}

// Fence implements [store.Lease].
func (l *lease) Fence() uint64 { return l.fence }

// Left implements [store.Lease].
func (l *lease) Left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() {
		return 0
	}
	return l.until.Sub(l.store.now())
}

// Extend implements [store.Lease].
func (l *lease) Extend(ctx context.Context) error {
	if l.ended() {
		return fmt.Errorf("extend the lease of %s: it was given back: %w", l.name, store.ErrLost)
	}
	asked := l.store.now()
	answer, err := l.store.do(ctx, extendScript, []string{l.store.keys.lease + l.name, l.store.keys.fence},
		[]string{l.store.writer, decimal(l.fence), milliseconds(l.lasts)})
	if err != nil {
		return fmt.Errorf("extend the lease of %s: %w", l.name, err)
	}
	extended, err := answer.AsInt64()
	if err != nil {
		return fmt.Errorf("extend the lease of %s: %w", l.name, err)
	}
	if extended != 1 {
		l.lasting(time.Time{})
		return fmt.Errorf("extend the lease of %s: %w", l.name, store.ErrLost)
	}
	l.lasting(asked.Add(l.lasts))
	return nil
}

func (l *lease) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until.IsZero()
}

func (l *lease) lasting(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
}

// Unlock implements [store.Lease].
func (l *lease) Unlock() {
	l.lasting(time.Time{})
	// A context of its own: a lease is given back also when what it was for was called off.
	ctx, cancel := context.WithTimeout(context.Background(), releaseWithin)
	defer cancel()
	_, _ = l.store.do(ctx, releaseScript, []string{l.store.keys.lease + l.name}, []string{l.store.writer, decimal(l.fence)}) // else it ends by itself
}
