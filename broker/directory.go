package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// unknownMemory is how long a key that nobody knows is remembered as such, so
	// that a mistaken app does not read the store on every call.
	unknownMemory = 3 * time.Second
	unknownMost   = 4096
	unknownDoubt  = 10 * time.Minute
)

// directory knows which accounts there are: it brings keys into use from the store, and
// answers which account an appid is, and of which components. What it finds it remembers
// for as long as nobody comes or goes. It is safe for concurrent use.
type directory struct {
	*env
	table  *table
	ledger *ledger
	directoryOptions

	only atomic.Pointer[onlyAnswer]

	mu      sync.Mutex
	unknown map[Key]time.Time
	doubted time.Time // when an unknown appid last had the lists read
}

// directoryOptions are the functions by which a directory reaches those that know of
// accounts to come.
type directoryOptions struct {
	wait time.Duration // how long a caller waits for an account to come
	// awaitLists waits until the list of a component, or of each for "", has been read once.
	awaitLists func(ctx context.Context, component string) error
	// pending returns the channel that is closed once the authorization of a key has been
	// exchanged, nil for one that is not being exchanged.
	pending func(Key) <-chan struct{}
	// refused reports whether the store lately did not take the authorization of a key.
	refused func(Key) bool
	// reconcile has the list of a component read soon.
	reconcile func(component string)
}

// changed forgets the answers: an authorizer came or went, or may have at another sidecar
// on the same store.
func (d *directory) changed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch.Add(1)
	d.only.Store(nil)
	clear(d.unknown)
}

// forgetOnly forgets which account is the only one.
func (d *directory) forgetOnly() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.only.Store(nil)
}

// knownUnknown reports whether key is remembered as unknown, and the epoch of what
// is known for noteUnknown.
func (d *directory) knownUnknown(key Key, now time.Time) (known bool, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.unknown[key]
	return ok && now.Sub(at).Abs() < unknownMemory, d.epoch.Load()
}

// noteUnknown remembers that the store does not have key, unless an account came or
// went since epoch, before which the store was not yet asked: it may be this one.
func (d *directory) noteUnknown(key Key, now time.Time, epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch.Load() != epoch {
		return
	}
	if d.unknown == nil || len(d.unknown) >= unknownMost {
		d.unknown = map[Key]time.Time{}
	}
	d.unknown[key] = now
}

func unknown(appID string) error { return fmt.Errorf("%w: %s", ErrUnknownAccount, appID) }
