package storetest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/storetest"
)

// worldOf is a store in memory; each view of it goes through wrap.
func worldOf(wrap func(store.Shared) store.Shared) storetest.World {
	s := memstore.New(memstore.Options{})
	w := storetest.World{
		LeaseLife: time.Millisecond,
		Expire:    func(string) { time.Sleep(time.Millisecond) },
		Empty:     s.Empty,
	}
	for i := range 10 {
		w.Views = append(w.Views, wrap(s.Shared(fmt.Sprint("sidecar ", i))))
	}
	return w
}

func TestRunReplicas(t *testing.T) {
	runs := 2_000
	if os.Getenv("WXSIDECAR_NIGHTLY") == "1" {
		runs = 100_000
	}
	synctest.Test(t, func(t *testing.T) {
		storetest.RunReplicas(t, worldOf(func(s store.Shared) store.Shared { return s }), runs)
	})
}

// faulty is a store with a fault.
type faulty struct {
	store.Shared
	put  func(context.Context, store.Shared, []store.Write) error
	lock func(context.Context, store.Shared, string, store.LeaseOptions) (store.Lease, error)
}

func (f faulty) Put(ctx context.Context, writes ...store.Write) error {
	if f.put == nil {
		return f.Shared.Put(ctx, writes...)
	}
	return f.put(ctx, f.Shared, writes)
}

func (f faulty) Lock(ctx context.Context, name string, o store.LeaseOptions) (store.Lease, error) {
	if f.lock == nil {
		return f.Shared.Lock(ctx, name, o)
	}
	return f.lock(ctx, f.Shared, name, o)
}

// judged is a test that may fail.
type judged struct {
	testing.TB
	said   strings.Builder
	failed bool
}

func (j *judged) Log(args ...any)                 { fmt.Fprintln(&j.said, args...) }
func (j *judged) Logf(format string, args ...any) { fmt.Fprintf(&j.said, format+"\n", args...) }
func (j *judged) Failed() bool                    { return j.failed }
func (j *judged) Fail()                           { j.failed = true }
func (j *judged) FailNow()                        { j.failed = true; runtime.Goexit() }
func (j *judged) Error(args ...any)               { j.Log(args...); j.Fail() }
func (j *judged) Errorf(f string, args ...any)    { j.Logf(f, args...); j.Fail() }
func (j *judged) Fatal(args ...any)               { j.Log(args...); j.FailNow() }
func (j *judged) Fatalf(f string, args ...any)    { j.Logf(f, args...); j.FailNow() }

// fixedFence is a lease whose fence is another's.
type fixedFence struct {
	store.Lease
	fence uint64
}

func (f fixedFence) Fence() uint64 { return f.fence }

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	f := flag.Lookup(name).Value
	before := f.String()
	t.Cleanup(func() { f.Set(before) })
	if err := f.Set(value); err != nil {
		t.Fatal(err)
	}
}

// The model sees what it is for: it fails on a store with any of these faults.
func TestRunReplicas_Bites(t *testing.T) {
	setFlag(t, "rapid.nofailfile", "true")
	setFlag(t, "rapid.shrinktime", "0s")
	f := func(what, want string, broken faulty) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			j := &judged{TB: t}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				storetest.RunReplicas(j, worldOf(func(s store.Shared) store.Shared {
					broken.Shared = s
					return broken
				}), 2_000)
			}()
			<-ended
			if !j.failed || !regexp.MustCompile(want).MatchString(j.said.String()) || !strings.Contains(j.said.String(), "rapid.seed=") {
				t.Errorf("%s: failed: %t, want %s and a seed in\n%s", what, j.failed, want, j.said.String())
			}
		})
	}
	rebased := func(ctx context.Context, s store.Shared, writes []store.Write, change func(*store.Write, store.Record)) error {
		now, err := s.Get(ctx, writes[0].Name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		change(&writes[0], now)
		return s.Put(ctx, writes...)
	}
	f("writes compare nothing", "made from another|was replaced by|its token became|is stored", faulty{put: func(ctx context.Context, s store.Shared, writes []store.Write) error {
		return rebased(ctx, s, writes, func(w *store.Write, now store.Record) { w.Base = now.Version() })
	}})
	f("writes compare no revision", "made from another|was replaced by|its token became|is stored", faulty{put: func(ctx context.Context, s store.Shared, writes []store.Write) error {
		return rebased(ctx, s, writes, func(w *store.Write, now store.Record) {
			if now.Generation == w.Base.Generation {
				w.Base = now.Version()
			}
		})
	}})
	f("writes are lost", "was acknowledged", faulty{put: func(ctx context.Context, s store.Shared, writes []store.Write) error {
		if writes[0].Record.Generation > 2 {
			return nil
		}
		return s.Put(ctx, writes...)
	}})
	f("writes lose their fence", "is stored|was replaced by|its token became", faulty{put: func(ctx context.Context, s store.Shared, writes []store.Write) error {
		writes[0].Record.Fence = 0
		return s.Put(ctx, writes...)
	}})
	f("fences begin anew", "fence", faulty{lock: func(ctx context.Context, s store.Shared, name string, o store.LeaseOptions) (store.Lease, error) {
		o.Fence = 0
		return s.Lock(ctx, name, o)
	}})
	f("all leases have one fence", "fence 1 |the fence", faulty{lock: func(ctx context.Context, s store.Shared, name string, o store.LeaseOptions) (store.Lease, error) {
		lease, err := s.Lock(ctx, name, o)
		return fixedFence{lease, 1}, err
	}})
	f("leases to those who know less", "a lease to one who knows generation", faulty{lock: func(ctx context.Context, s store.Shared, name string, o store.LeaseOptions) (store.Lease, error) {
		o.Generation = 0
		return s.Lock(ctx, name, o)
	}})
	f("leases of several", "has the lease|has it", faulty{lock: func(ctx context.Context, s store.Shared, name string, o store.LeaseOptions) (store.Lease, error) {
		lease, err := s.Lock(ctx, name, o)
		if held := (*store.HeldError)(nil); errors.As(err, &held) {
			time.Sleep(time.Millisecond)
			return s.Lock(ctx, name, o)
		}
		return lease, err
	}})
	f("leases are refused", "got no lease", faulty{lock: func(ctx context.Context, s store.Shared, name string, o store.LeaseOptions) (store.Lease, error) {
		lease, err := s.Lock(ctx, name, o)
		if err == nil {
			return nil, &store.HeldError{Name: name, Left: time.Second}
		}
		return lease, err
	}})
}
