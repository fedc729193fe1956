package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// A server that crashes and comes back with its data: told once, nothing lost, no restart.
func TestStore_ServerCrashes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{AOF: true, Password: password, Config: []string{"appendfsync always"}})
	a, b := open(t, server.URL()), open(t, server.URL())
	wa := watch(t, a)
	one := first("k", "one")
	put(t, a, one)
	for range 2 {
		wa.forget()
		server.Kill()
		wa.tells("the outage", failed)
		err := a.Put(t.Context(), first("other", "x"))
		if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "Geheim") {
			t.Errorf("Put without a server: %v", err)
		}
		if _, err := a.Get(t.Context(), "k"); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get without a server: %v", err)
		}
		server.Restart()
		wa.tells("the end of the outage", missed)
		if n := wa.count(failed); n != 1 || wa.count(emptied) != 0 {
			t.Errorf("one outage was told %d times, the loss of all %d times", n, wa.count(emptied))
		}
		holds(t, a, one)
	}
	put(t, b, first("later", "x"))
	wa.tells("what changed after it", came("later"))
}

// A server that comes back without its data is another store.
func TestStore_ServerLosesAll(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	a, b := open(t, server.URL()), open(t, server.URL())
	wa, wb := watch(t, a), watch(t, b)
	one := first("k", "one")
	put(t, a, one)
	gone := func(how string) {
		t.Helper()
		wa.tells(how, emptied)
		wb.tells(how, emptied)
		if n := wa.count(emptied) + wb.count(emptied); n != 2 {
			t.Errorf("%s: two sidecars were told %d times", how, n)
		}
		if _, err := a.Get(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: Get: %v", how, err)
		}
		put(t, a, one)
		wb.tells("what is put back", came("k"))
		wa.forget()
		wb.forget()
	}
	server.Restart()
	gone("a restart without data")
	server.Flush()
	gone("FLUSHALL")
	lease, err := a.Lock(t.Context(), "k", store.LeaseOptions{For: time.Minute, Fence: 1000})
	if err != nil {
		t.Fatal(err)
	}
	server.Flush()
	gone("FLUSHALL under a lease")
	if err := lease.Extend(t.Context()); err != nil {
		t.Errorf("a lease that nobody else had meanwhile is lost: %v", err)
	}
	held := &store.HeldError{}
	if _, err := b.Lock(t.Context(), "k", store.LeaseOptions{For: time.Minute}); !errors.As(err, &held) {
		t.Errorf("Lock of another's lease: %v", err)
	}
	lease.Unlock()
	after, err := b.Lock(t.Context(), "k", store.LeaseOptions{For: time.Minute})
	if err != nil || after.Fence() <= lease.Fence() {
		t.Errorf("Lock: %v, a fence above %d is wanted", err, lease.Fence())
	}
}

func TestStore_ScriptFlush(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	s := open(t, server.URL())
	last := store.Record{}
	for _, content := range []string{"one", "two"} {
		server.MustDo("SCRIPT", "FLUSH")
		w := next("k", last, content)
		put(t, s, w)
		last = w.Record
		if page, err := s.List(t.Context(), "", "", 10); err != nil || len(page) != 1 {
			t.Errorf("List: %v, %v", page, err)
		}
		lease, err := s.Lock(t.Context(), "k", store.LeaseOptions{For: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if err := lease.Extend(t.Context()); err != nil {
			t.Error(err)
		}
		lease.Unlock()
	}
}

// The answer to a write is lost: it is in, once, and its writer knows.
func TestStore_AnswerLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	link := redistest.NewLink(t, server.Addr())
	a, b := open(t, server.URLVia(link.Addr())), open(t, server.URL())
	wb := watch(t, b)
	one := first("k", "one")
	lose := func() { link.LoseAnswers(1) }

	lose()
	put(t, a, one)
	two := next("k", one.Record, "two")
	lose()
	put(t, a, two, first("beside", "x"))
	if link.Lost() != 2 {
		t.Fatalf("%d answers were lost, want 2", link.Lost())
	}
	holds(t, b, two)
	wb.tells("the last write", came("beside"))
	changes := 0
	for _, n := range wb.all() {
		changes += len(n.Changes)
	}
	if changes != 3 {
		t.Errorf("three writes were told as %d", changes)
	}

	lose()
	lease, err := a.Lock(t.Context(), "k", store.LeaseOptions{For: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	held := &store.HeldError{}
	if _, err := b.Lock(t.Context(), "k", store.LeaseOptions{For: time.Minute}); !errors.As(err, &held) {
		t.Errorf("Lock of a lease whose answer was lost: %v", err)
	}
	lose()
	if err := lease.Extend(t.Context()); err != nil {
		t.Error(err)
	}
	lose()
	lease.Unlock()
	if _, err := b.Lock(t.Context(), "k", store.LeaseOptions{For: time.Minute}); err != nil {
		t.Errorf("Lock after Unlock: %v", err)
	}

	lose()
	if kept, mine, err := a.Remember(t.Context(), "m", []byte("v"), time.Minute); err != nil || !mine || string(kept) != "v" {
		t.Errorf("Remember: %q, %t, %v", kept, mine, err)
	}
	// Redis has the script by then, so that there is one answer to lose.
	if done, err := a.Replace(t.Context(), "m", []byte("v"), []byte("u"), time.Minute); err != nil || !done {
		t.Fatalf("Replace: %t, %v", done, err)
	}
	lose()
	if _, err := a.Replace(t.Context(), "m", []byte("u"), []byte("w"), time.Minute); err == nil {
		t.Error("a Replace whose answer was lost was sent again, or its outcome guessed")
	}
	if kept, mine, err := b.Remember(t.Context(), "m", []byte("x"), time.Minute); err != nil || mine || string(kept) != "w" {
		t.Errorf("Remember: %q, %t, %v", kept, mine, err)
	}
	if link.Lost() != 7 {
		t.Errorf("%d answers were lost, want 7", link.Lost())
	}
}

// A server that hangs: each operation ends by itself, also with a caller that has no deadline,
// and Close too. What was sent is carried out later or not, but never half.
func TestStore_ServerHangs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	a, b := open(t, server.URL()), open(t, server.URL())
	wa := watch(t, a)
	one := first("k", "one")
	put(t, a, one)
	lease, err := a.Lock(t.Context(), "lease", store.LeaseOptions{For: time.Minute})
	if err != nil {
		t.Fatal(err)
	}

	server.Stop()
	ends := func(what string, err error) {
		t.Helper()
		if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	two := next("k", one.Record, "two")
	ends("Put", a.Put(t.Context(), two))
	_, err = a.Get(t.Context(), "k")
	ends("Get", err)
	_, err = a.GetAll(t.Context(), []string{"k"})
	ends("GetAll", err)
	_, err = a.List(t.Context(), "", "", 1)
	ends("List", err)
	_, err = a.Lock(t.Context(), "other", store.LeaseOptions{For: time.Minute})
	ends("Lock", err)
	ends("Extend", lease.Extend(t.Context()))
	_, _, err = a.Remember(t.Context(), "m", nil, time.Minute)
	ends("Remember", err)
	lease.Unlock()
	wa.tells("the outage", failed)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get by a caller whose time is up: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}

	server.Cont()
	wa.tells("the end of the outage", missed)
	if n := wa.count(failed); n != 1 {
		t.Errorf("one outage was told %d times", n)
	}
	redistest.Await(t, patience, "the store answers", func() (bool, any) { _, err := a.Get(t.Context(), "k"); return err == nil, err })
	put(t, a, two) // whether it was carried out or not
	holds(t, a, two)
}

// What is no longer in the stream is told as missed; a broken connection alone is not.
func TestStore_NewsMissed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	link := redistest.NewLink(t, server.Addr())
	a, b := open(t, server.URLVia(link.Addr())), open(t, server.URL())
	wa := watch(t, a)
	link.Cut()
	put(t, b, first("after the cut", "x"))
	wa.tells("a change after a cut", came("after the cut"))
	if n := wa.count(missed) + wa.count(failed); n != 0 {
		t.Errorf("a cut of a moment was told as %d outages", n)
	}
	put(t, a, first("mine", "x"))
	server.MustDo("DEL", "{wxsidecar}:changes")
	put(t, b, first("beside", "x"))
	wa.tells("the loss of the stream", missed)
	if n := wa.count(emptied); n != 0 {
		t.Errorf("the loss of the stream was told as that of all %d times", n)
	}
	put(t, b, first("later", "x"))
	wa.tells("a change after it", came("later"))
}

// A write that a failover loses after it was acknowledged is told.
func TestStore_SentinelLosesWrites(t *testing.T) {
	t.Parallel()
	sentinels := redistest.StartSentinel(t, redistest.Options{Password: password})
	a, b := open(t, sentinels.URL()), open(t, sentinels.URL())
	wa, wb := watch(t, a), watch(t, b)
	kept, lost := first("kept", "x"), first("lost", "x")
	put(t, a, kept)
	wb.tells("a change", came("kept"))
	old := sentinels.LoseWrites(func() { put(t, a, lost) })
	wa.tells("the loss", missed)
	wb.tells("the loss", missed)
	redistest.Await(t, patience, "the store answers", func() (bool, any) { _, err := b.Get(t.Context(), "kept"); return err == nil, err })
	holds(t, b, kept)
	if _, err := b.Get(t.Context(), "lost"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of what was lost: %v", err)
	}
	keeps(t, a, lost)
	wb.tells("what is put back", came("lost"))
	old.Restart()
	sentinels.Await()
	keeps(t, b, next("kept", kept.Record, "y"))
	flows(t, a, wb, "after")
}

// Failovers and a move that lose nothing need no restart either.
func TestStore_ClusterFailover(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, redistest.Options{})
	a, b := open(t, cluster.URL()), open(t, cluster.URL())
	wb := watch(t, b)
	last := store.Record{}
	write := func(content string) {
		t.Helper()
		w := next("k", last, content)
		keeps(t, a, w)
		last = w.Record
		redistest.Await(t, patience, "the other reads "+content, func() (bool, any) {
			got, err := b.Get(t.Context(), "k")
			return err == nil && got.Version() == last.Version(), err
		})
	}
	write("before")
	const tag = "{wxsidecar}"
	cluster.Await() // so that the crash loses nothing
	cluster.Failover(tag)
	write("after a failover")
	flows(t, a, wb, "failover")
	cluster.Await()
	cluster.KillPrimary(tag)
	write("after a crash")
	flows(t, a, wb, "crash")
	cluster.MoveSlot(tag, nil)
	write("after a move")
	flows(t, a, wb, "move")
}

// While a slot moves, key by key, no record is missing from a page.
func TestStore_ClusterListsWhileSlotMoves(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, redistest.Options{})
	s := open(t, cluster.URL())
	names := manyNames(40)
	put(t, s, manyWrites(names, store.Record{})...)
	ctx, stop := context.WithCancel(context.Background())
	var lists atomic.Int64
	var wg sync.WaitGroup
	t.Cleanup(func() { stop(); wg.Wait() })
	wg.Go(func() {
		for ctx.Err() == nil {
			got, err := s.List(context.Background(), "", "", 25)
			if err == nil && len(got) == 25 {
				var more []store.Named
				more, err = s.List(context.Background(), "", got[24].Name, 25)
				got = append(got, more...)
			}
			if err != nil {
				t.Errorf("List: %v", err)
			} else if len(got) != len(names) {
				t.Errorf("%d records of %d", len(got), len(names))
			}
			lists.Add(1)
		}
	})
	for range 3 {
		before := lists.Load()
		cluster.MoveSlot("{wxsidecar}", nil)
		redistest.Await(t, patience, "a list", func() (bool, any) { n := lists.Load(); return n > before+1, n - before })
	}
}
