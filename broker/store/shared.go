package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Shared is a [Store] that several sidecars use at once. Its value is one sidecar's view of it:
// leases and news tell that sidecar from the others. Put of the very writes that are stored already
// succeeds and changes nothing, so that it can be called again when an answer was lost; where all
// of them delete, that cannot be told, and it is [ErrConflict].
type Shared interface {
	Store
	Locker
	Memory
	Presence
	// Watch calls tell with what others changed, in order and one call at a time, until ctx
	// ends. News comes within a second, also of what was missed while the store did not answer.
	// tell may use the store. Watch is called once.
	Watch(ctx context.Context, tell func(News))
}

// News is what [Shared.Watch] tells.
type News struct {
	// Err says that the store does not answer; nil that it does. Nothing else is told with it.
	Err error
	// Missed says that changes may be missing from Changes, or that the store may have lost
	// some: all that is held has to be compared with it. The first news is of this sort.
	Missed bool
	// Emptied says that it is not the store that was watched before: it was emptied, or is
	// another one.
	Emptied bool
	Changes []Change
}

// Change is one record that another sidecar changed.
type Change struct {
	Name string
	// Came and Went say that there was none before, and that there is none now. Neither is
	// set where an existing record was written.
	Came, Went bool
}

// Locker gives leases to the sidecars that share a store, so that they do not renew one key at
// once. Correctness does not rest on it, but on the compare-and-set of [Store.Put].
type Locker interface {
	// Lock takes the lease of that name; a sidecar that has it already gets it again, with the
	// same fence. It does not wait: while another sidecar has it the error is a *[HeldError]. It
	// wraps [ErrConflict] where the record of that name has a later generation than o says: then
	// it is to be read again first. Any other error says that the store does not answer. Whoever
	// gets the lease reads the record again before it acts.
	Lock(ctx context.Context, name string, o LeaseOptions) (Lease, error)
}

// LeaseOptions say what is asked of [Locker.Lock].
type LeaseOptions struct {
	// For is how long the lease lasts. It must be greater than 0.
	For time.Duration
	// Fence is the greatest that the caller has seen of that name: the store may have lost it.
	Fence uint64
	// Generation is that of the record of that name that the caller knows; 0 for any.
	Generation uint64
}

// Lease is a lock that ends by itself. It is safe for concurrent use.
type Lease interface {
	// Fence is greater than that of every earlier lease of its name.
	Fence() uint64
	// Left is how long the lease lasts at least, measured by a monotonic clock from before it
	// was asked for. It is 0 or less once it may have ended.
	Left() time.Duration
	// Extend has it last as long as at first, from now on. It returns an error that wraps
	// [ErrLost] where another sidecar has taken it meanwhile.
	Extend(ctx context.Context) error
	// Unlock gives it back, unless it was lost. It waits for the store only briefly, and a
	// lease that it cannot give back ends by itself.
	Unlock()
}

// ErrLost says that a lease ended and another sidecar has it.
var ErrLost = errors.New("the lease was lost")

// HeldError says that another sidecar has a lease.
type HeldError struct {
	Name string
	// By is that sidecar, as [Presence] names it.
	By string
	// Left is how long it has it at most, unless it extends it.
	Left time.Duration
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("another sidecar holds the lease of %s for up to %s", e.Name, e.Left)
}

// Memory keeps small values for a while for all sidecars that share a store: what was seen, say.
// Losing them costs no promise. Values are not secrets, or sealed.
type Memory interface {
	// Remember keeps value under name for ttl unless there is one. It returns what is kept
	// now, and whether this call kept it. The caller owns the bytes.
	Remember(ctx context.Context, name string, value []byte, ttl time.Duration) (kept []byte, mine bool, err error)
	// Replace keeps value for ttl in the place of old, and reports whether old was what was
	// kept. A nil value forgets it.
	Replace(ctx context.Context, name string, old, value []byte, ttl time.Duration) (bool, error)
}

const (
	// PeersFor is for how long a sidecar that announces itself no more is still told of.
	PeersFor = time.Hour
	// MostPeers is of how many sidecars is told at most.
	MostPeers = 256
)

// Presence tells sidecars that share a store of each other.
type Presence interface {
	// Announce says that this sidecar uses the store, and returns how the others know it, and
	// which others have announced themselves in the last [PeersFor]: those of the latest, in no
	// order. Several processes never have one name, nor has one that starts again its former one.
	Announce(ctx context.Context) (self string, others []Peer, err error)
}

// Peer is another sidecar on the same store.
type Peer struct {
	Name string
	// Ago is how long ago it announced itself last, by the store's clock alone.
	Ago time.Duration
}
