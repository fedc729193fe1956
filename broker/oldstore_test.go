package broker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// TestOldStore_IsRenamedAtTheStart runs the broker over the file that commit c030ad9
// left. What lives in it is served under its key of today without a word to WeChat, which
// hears only of the two authorizations in the inbox.
func TestOldStore_IsRenamedAtTheStart(t *testing.T) {
	file := copyOldStore(t)
	inOldStore(t, func(w *oldWorld) {
		st := w.open(file)
		w.mustStart(st)
		w.checkNames(st)
		w.checkServed()
		w.checkAuthorized()
		if all, exchanged := w.calls(), w.sim.Calls(queryAuthPath); all != 2 || exchanged != 2 {
			t.Errorf("WeChat was called %d times, %d of them to exchange a code; want 2 exchanges alone", all, exchanged)
		}
		w.checkRefused()
		w.checkIdle()
	})
}

// TestOldStore_ASecondStartChangesNothing opens the renamed file once more.
func TestOldStore_ASecondStartChangesNothing(t *testing.T) {
	file := copyOldStore(t)
	inOldStore(t, func(w *oldWorld) {
		st := w.open(file)
		w.mustStart(st)
		w.halt()
		before := w.list(st)
		w.close(st)
		w.sim.Forget()

		st = w.open(file)
		w.mustStart(st)
		if diff := cmp.Diff(before, w.list(st)); diff != "" {
			t.Errorf("the second start wrote to the store (-before +after):\n%s", diff)
		}
		w.checkServed()
		w.checkAuthorized()
		if n := w.calls(); n != 0 {
			t.Errorf("the second start called WeChat %d times", n)
		}
	})
}

// errEnded is what a store answers to a process that is no more.
var errEnded = errors.New("the process has ended")

// TestOldStore_AnEndAmidTheRenamingLosesNothing ends the process after each write of the
// first start in turn, and starts again.
func TestOldStore_AnEndAmidTheRenamingLosesNothing(t *testing.T) {
	file := copyOldStore(t)
	writes := int64(0)
	for ended := true; ended; {
		writes++
		inOldStore(t, func(w *oldWorld) {
			var left atomic.Int64 // writes until the process ends; none: it does not
			var dead atomic.Bool
			st := memstore.New(memstore.Options{
				Wait: func(context.Context) error {
					if dead.Load() {
						return errEnded
					}
					return nil
				},
				LosePut: func([]store.Write) error {
					if left.Add(-1) == 0 {
						dead.Store(true)
						return errEnded
					}
					return nil
				},
			})
			w.fill(st, file)
			left.Store(writes)
			if err := w.start(st); err == nil {
				w.halt()
			}
			ended = dead.Swap(false)
			left.Store(0)
			w.sim.Forget()

			w.mustStart(st)
			w.checkNames(st)
			w.checkServed()
			w.checkAuthorized()
			for _, path := range []string{componentPath, stablePath, jsapiPath} {
				if n := w.sim.Calls(path); n != 0 {
					t.Errorf("%s was called %d times although all its tokens live", path, n)
				}
			}
			w.checkRefused()
		})
		if t.Failed() {
			t.Fatalf("this is after an end at write %d", writes)
		}
	}
	if writes < 4 {
		t.Errorf("the first start wrote %d times; want the two exchanges and what was renamed", writes-1)
	}
}

// TestOldStore_AComponentThatIsNotConfiguredKeepsItsOwn starts first without the second
// component: its merchants are not served, and nothing of theirs is lost.
func TestOldStore_AComponentThatIsNotConfiguredKeepsItsOwn(t *testing.T) {
	file := copyOldStore(t)
	inOldStore(t, func(w *oldWorld) {
		st := w.open(file)
		both := w.components
		w.components = both[:1]
		w.mustStart(st)
		key := authorizerOf(otherComponentID, merchant(3))
		if _, err := w.broker.Token(context.Background(), key); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("without its component configured %s gets error %v, want that it is unknown", key, err)
		}
		w.halt()
		w.checkNames(st)
		w.components = both
		w.mustStart(st)
		w.checkServed()
	})
}

// inOldStore runs f in a bubble at one second after the old store was left.
func inOldStore(t *testing.T, f func(w *oldWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pass(time.Until(time.Date(2000, 1, 1, 0, 15, 1, 0, time.UTC)))
		w := newOldWorld(t)
		f(w)
		for _, v := range w.sim.Violations() {
			t.Errorf("WeChat saw what it never should: %s", v)
		}
	})
}
