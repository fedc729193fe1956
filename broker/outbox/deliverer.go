package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	// leaseName is the lease of the sidecar that delivers. One for all targets is enough:
	// a delivery costs little, and one deliverer sees the order of all.
	leaseName = "outbox"
	leaseFor  = 20 * time.Second
	// extendEvery is how often the lease is extended, askEvery how often it is asked for while
	// another sidecar has it, and askAgain when the store did not answer.
	extendEvery = 4 * time.Second
	askEvery    = 4 * time.Second
	askAgain    = time.Second
	// leaseLeft is what must be left of the lease for an attempt to begin: it ends while no
	// other sidecar delivers.
	leaseLeft = attemptTimeout + 2*time.Second
)

// sharing is what an outbox needs where other sidecars have the same store. Outbox.mu guards
// what can change.
type sharing struct {
	store store.Shared // nil where no other sidecar has it
	news  chan struct{}

	lease store.Lease // nil while another sidecar delivers
	by    string      // that other one, as far as it is known
	// settled says that what the sidecar before had done is known.
	settled bool
	behind
}

func newSharing(s store.Store) sharing {
	shared, _ := s.(store.Shared)
	return sharing{store: shared, news: make(chan struct{}, 1), behind: behind{marked: map[string]bool{}, placing: map[string]bool{}}}
}

// startSharing starts what Run needs besides where the store is shared. It ends with ctx.
func (o *Outbox) startSharing(ctx context.Context, running *sync.WaitGroup) {
	if o.sharing.store == nil {
		o.Metrics.OutboxDeliverer(true)
		return
	}
	running.Go(func() { o.lead(ctx) })
	running.Go(func() { o.follow(ctx) })
}

// lead asks for the lease, and keeps it once it has it.
func (o *Outbox) lead(ctx context.Context) {
	var fence uint64
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, storeTimeout)
		lease, err := o.sharing.store.Lock(asking, leaseName, store.LeaseOptions{For: leaseFor, Fence: fence})
		cancel()
		if err != nil {
			o.noteDeliverer(err)
			wait(ctx, askAfter(err))
			continue
		}
		fence = lease.Fence()
		o.takeOver(lease)
		o.keep(ctx, lease)
	}
}

// noteDeliverer notes which sidecar has the lease that could not be had.
func (o *Outbox) noteDeliverer(err error) {
	var held *store.HeldError
	if errors.As(err, &held) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sharing.by = held.By
	}
}

// askAfter returns after how long the lease is asked for again.
func askAfter(err error) time.Duration {
	held := &store.HeldError{}
	if errors.As(err, &held) {
		return min(max(held.Left, askAgain/10), askEvery)
	}
	return askAgain
}

// keep extends the lease until ctx ends or the lease does.
func (o *Outbox) keep(ctx context.Context, lease store.Lease) {
	pause := extendEvery
	for {
		wait(ctx, pause)
		if ctx.Err() != nil {
			return // Run gives it back once no attempt is under way
		}
		asking, cancel := context.WithTimeout(ctx, askEvery)
		err := lease.Extend(asking)
		cancel()
		pause = extendEvery
		switch {
		case err == nil:
			o.kept(lease)
		case errors.Is(err, store.ErrLost) || lease.Left() <= 0:
			o.Log.Warn("this sidecar delivers events no longer, as it could not keep the lease of that; another one goes on", "error", err)
			o.stepDown()
			return
		default:
			pause = askAgain
		}
	}
}

// takeOver begins to deliver, from when all is known that the store has.
func (o *Outbox) takeOver(lease store.Lease) {
	o.Log.Info("this sidecar delivers events now")
	o.Metrics.OutboxDeliverer(true)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sharing.lease, o.sharing.settled, o.sharing.by = lease, false, ""
	o.compareAllLocked()
}

// kept goes on with a lease that was extended.
func (o *Outbox) kept(lease store.Lease) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sharing.lease = lease
	o.wakeUp()
}

// stepDown returns the lease that the outbox had, or nil.
func (o *Outbox) stepDown() store.Lease {
	o.mu.Lock()
	defer o.mu.Unlock()
	lease := o.sharing.lease
	o.sharing.lease = nil
	o.Metrics.OutboxDeliverer(false)
	return lease
}

// resign gives the lease back, at the end of Run.
func (o *Outbox) resign() {
	if lease := o.stepDown(); lease != nil {
		lease.Unlock()
	}
}

// deliversLocked reports whether an attempt may begin: no other sidecar makes one until it ends,
// and nothing is known to be missing that may have to come first.
func (o *Outbox) deliversLocked() bool {
	s := &o.sharing
	return s.store == nil || s.lease != nil && s.lease.Left() >= leaseLeft && !s.all && !s.comparing
}

// leadsLocked reports whether this sidecar has delivered all the time since it last knew all.
func (o *Outbox) leadsLocked() bool {
	s := &o.sharing
	return s.lease != nil && s.settled && s.lease.Left() > 0
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
