package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

func lock(t *testing.T, l store.Locker, name string, o store.LeaseOptions) store.Lease {
	t.Helper()
	lease, err := l.Lock(t.Context(), name, o)
	if err != nil {
		t.Fatalf("Lock %q: %v", name, err)
	}
	return lease
}

func lockFor(t *testing.T, l store.Locker, name string, lasts time.Duration) store.Lease {
	t.Helper()
	return lock(t, l, name, store.LeaseOptions{For: lasts})
}

// isHeld asks for a lease that another view has.
func isHeld(t *testing.T, l store.Locker, name string, atMost time.Duration) {
	t.Helper()
	_, err := l.Lock(t.Context(), name, store.LeaseOptions{For: long})
	held := &store.HeldError{}
	if !errors.As(err, &held) {
		t.Fatalf("Lock %q: %v, want a HeldError", name, err)
	}
	if held.Name != name || held.Left <= 0 || held.Left > atMost {
		t.Errorf("%+v, want one of %q that has at most %s left", *held, name, atMost)
	}
}

// taken waits until a view gets a lease.
func taken(t *testing.T, l store.Locker, name string) (lease store.Lease) {
	t.Helper()
	await(t, "the lease of "+name, func() bool {
		var err error
		lease, err = l.Lock(t.Context(), name, store.LeaseOptions{For: long})
		if held := (&store.HeldError{}); err != nil && !errors.As(err, &held) {
			t.Fatalf("Lock %q: %v", name, err)
		}
		return err == nil
	})
	return lease
}

func testLease(t *testing.T, views []store.Shared) {
	a, b, c := views[0], views[1], views[2]
	lease := lockFor(t, a, "k", long)
	if left := lease.Left(); left <= 0 || left > long {
		t.Errorf("%s are left of %s", left, long)
	}
	if lease.Fence() == 0 {
		t.Error("the fence is 0")
	}
	isHeld(t, b, "k", long)
	isHeld(t, c, "k", long)
	lease.Unlock()
	if left := lease.Left(); left > 0 {
		t.Errorf("%s are left after Unlock", left)
	}
	next := lockFor(t, b, "k", long)
	isHeld(t, a, "k", long)
	lease.Unlock() // it is b's by now
	isHeld(t, a, "k", long)
	next.Unlock()
	lockFor(t, c, "k", long).Unlock()
}

// testLeaseOfMine: who did not hear that it has the lease asks again.
func testLeaseOfMine(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	first := lockFor(t, a, "k", short)
	again := lockFor(t, a, "k", long)
	if first.Fence() != again.Fence() {
		t.Errorf("the fences are %d and %d", first.Fence(), again.Fence())
	}
	if left := again.Left(); left <= short {
		t.Errorf("%s are left of %s", left, long)
	}
	await(t, "the end of the first", func() bool { return first.Left() <= 0 })
	isHeld(t, b, "k", long)
	again.Unlock()
	lockFor(t, b, "k", long)
}

func testLeaseEnds(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	lease := lockFor(t, a, "k", brief)
	next := taken(t, b, "k")
	if left := lease.Left(); left > 0 {
		t.Errorf("another view has the lease of which %s are left", left)
	}
	if next.Fence() <= lease.Fence() {
		t.Errorf("fence %d after %d", next.Fence(), lease.Fence())
	}
}

func testLeaseExtended(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	const lasts = short
	lease := lockFor(t, a, "k", lasts)
	await(t, "a part of the lease to pass", func() bool { return lease.Left() < lasts-brief })
	before := lease.Left()
	if err := lease.Extend(t.Context()); err != nil {
		t.Fatalf("Extend: %v", err)
	}
	if left := lease.Left(); left <= before || left > lasts {
		t.Errorf("%s are left after %s were and an Extend by %s", left, before, lasts)
	}
	fence := lease.Fence()
	isHeld(t, b, "k", lasts)
	if next := taken(t, b, "k"); next.Fence() <= fence {
		t.Errorf("fence %d after %d", next.Fence(), fence)
	}
}

// testLeaseLost: whoever was too slow is told so, also after the other gave it back.
func testLeaseLost(t *testing.T, views []store.Shared) {
	a, b, c := views[0], views[1], views[2]
	lease := lockFor(t, a, "k", brief)
	next := taken(t, b, "k")
	lost := func() {
		t.Helper()
		if err := lease.Extend(t.Context()); !errors.Is(err, store.ErrLost) {
			t.Errorf("Extend: %v, want ErrLost", err)
		}
		if left := lease.Left(); left > 0 {
			t.Errorf("%s are left of a lease that is lost", left)
		}
	}
	lost()
	lease.Unlock()
	isHeld(t, c, "k", long)
	next.Unlock()
	lost()
	last := lockFor(t, c, "k", long)
	lost()
	last.Unlock()
	again := lockFor(t, a, "k", long)
	lost()
	lease.Unlock() // which is not the one that a has now
	isHeld(t, b, "k", long)
	if err := again.Extend(t.Context()); err != nil {
		t.Errorf("Extend: %v", err)
	}
}

func testLeasesOfOtherNames(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	lockFor(t, a, "k", long)
	lockFor(t, b, "k/1", long)
	lockFor(t, b, "K", long)
	isHeld(t, a, "K", long)
	put(t, b, set("k", none, "a lease keeps nobody from writing"))
	holds(t, a, "k", rec(1, "a lease keeps nobody from writing"))
}

// testFences: a fence is greater than those given before, than the record's, and than what the
// caller has seen.
func testFences(t *testing.T, views []store.Shared) {
	var last uint64
	greater := func(view int, o store.LeaseOptions, than uint64) {
		t.Helper()
		o.For = long
		lease := lock(t, views[view], "k", o)
		if f := lease.Fence(); f <= last || f <= than {
			t.Errorf("fence %d, want one above %d and %d", f, last, than)
		}
		last = lease.Fence()
		lease.Unlock()
	}
	for i := range 6 {
		greater(i%3, store.LeaseOptions{}, 0)
	}
	greater(1, store.LeaseOptions{Fence: last + 1000}, last+1000)
	greater(2, store.LeaseOptions{Fence: 5}, 0)
	put(t, views[0], fenced("k", none, "one", last+1000))
	greater(1, store.LeaseOptions{}, last+1000)
	greater(0, store.LeaseOptions{Generation: 1}, 0)
}

// testLeaseOfAStaleRecord: whoever knows an older generation is to read before it renews.
func testLeaseOfAStaleRecord(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	stale := func(generation uint64) {
		t.Helper()
		if _, err := b.Lock(t.Context(), "k", store.LeaseOptions{For: long, Generation: generation}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("Lock for generation %d: %v, want ErrConflict", generation, err)
		}
	}
	put(t, a, set("k", none, "one"))
	put(t, a, set("k", rec(1, "one"), "two"))
	put(t, a, set("k", rec(2, "two"), "three"))
	stale(1)
	stale(2)
	lock(t, b, "k", store.LeaseOptions{For: long, Generation: 3}).Unlock()
	lock(t, b, "k", store.LeaseOptions{For: long, Generation: 9}).Unlock() // the store lost some
	lease := lock(t, a, "k", store.LeaseOptions{For: long})
	stale(2) // there is no need to wait for the lease
	lease.Unlock()
	lock(t, b, "none", store.LeaseOptions{For: long, Generation: 1}).Unlock()
}

// testLeaseContention: of several that want a lease one at a time has it, and fences follow.
func testLeaseContention(t *testing.T, views []store.Shared) {
	const turns = 5
	var inside atomic.Int32
	var mu sync.Mutex
	var fences []uint64
	var wg sync.WaitGroup
	for _, v := range views {
		wg.Go(func() {
			for won := 0; won < turns; {
				lease, err := v.Lock(t.Context(), "k", store.LeaseOptions{For: long})
				if held := (&store.HeldError{}); errors.As(err, &held) {
					continue
				}
				if err != nil {
					t.Errorf("Lock: %v", err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d have the lease", n)
				}
				mu.Lock()
				fences = append(fences, lease.Fence())
				mu.Unlock()
				won++
				inside.Add(-1)
				lease.Unlock()
			}
		})
	}
	wg.Wait()
	if len(fences) != turns*len(views) {
		t.Errorf("%d leases, want %d", len(fences), turns*len(views))
	}
	for i := 1; i < len(fences); i++ {
		if fences[i] <= fences[i-1] {
			t.Errorf("fence %d after %d", fences[i], fences[i-1])
		}
	}
}

func testLockCancelled(t *testing.T, views []store.Shared) {
	lease := lockFor(t, views[0], "k", long)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := views[0].Lock(ctx, "other", store.LeaseOptions{For: long}); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v, want context.Canceled", err)
	}
	if err := lease.Extend(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrLost) {
		t.Errorf("Extend: %v, want context.Canceled", err)
	}
	if lease.Left() <= 0 {
		t.Error("nothing is left of a lease that lasts")
	}
	if _, err := views[0].Lock(t.Context(), "other", store.LeaseOptions{}); err == nil {
		t.Error("a lease for no time was given")
	}
}
