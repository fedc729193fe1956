package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/storetest"
)

func TestShared(t *testing.T) {
	storetest.RunShared(t, func(_ *testing.T, views int) []store.Shared {
		s := memstore.New(memstore.Options{})
		all := make([]store.Shared, views)
		for i := range all {
			all[i] = s.Shared(fmt.Sprint("sidecar ", i))
		}
		return all
	})
}

// told has a view watch until the test ends, and returns what it was told since the last call.
func told(t *testing.T, v *memstore.Shared) func() []store.News {
	ctx, cancel := context.WithCancel(t.Context())
	news := make(chan store.News, 100)
	ended := make(chan struct{})
	go func() { defer close(ended); v.Watch(ctx, func(n store.News) { news <- n }) }()
	t.Cleanup(func() { cancel(); <-ended })
	return func() (all []store.News) {
		synctest.Wait()
		for len(news) > 0 {
			all = append(all, <-news)
		}
		return all
	}
}

func mustTell(t *testing.T, got []store.News, want ...store.News) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("news (-want +got):\n%s", diff)
	}
}

var errCut = errors.New("the cable is cut")

// A view that is cut off does nothing and hears nothing, but that it is; then it has missed
// something. The others go on.
func TestShared_Down(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		a, b := s.Shared("a"), s.Shared("b")
		news := told(t, a)
		mustTell(t, news(), store.News{Missed: true})
		lease, err := a.Lock(t.Context(), "l", store.LeaseOptions{For: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		a.Down(errCut)
		for op, err := range map[string]error{
			"Put":    a.Put(t.Context(), first),
			"Extend": lease.Extend(t.Context()),
			"Get":    func() error { _, err := a.Get(t.Context(), "a"); return err }(),
			"GetAll": func() error { _, err := a.GetAll(t.Context(), []string{"a"}); return err }(),
			"List":   func() error { _, err := a.List(t.Context(), "", "", 1); return err }(),
			"Lock":   func() error { _, err := a.Lock(t.Context(), "m", store.LeaseOptions{For: time.Minute}); return err }(),
			"Remember": func() error {
				_, _, err := a.Remember(t.Context(), "v", []byte("x"), time.Minute)
				return err
			}(),
			"Replace": func() error { _, err := a.Replace(t.Context(), "v", nil, nil, 0); return err }(),
		} {
			if !errors.Is(err, errCut) {
				t.Errorf("%s: %v, want %v", op, err, errCut)
			}
		}
		lease.Unlock()
		if err := b.Put(t.Context(), first); err != nil {
			t.Errorf("the other view: %v", err)
		}
		if _, err := b.Lock(t.Context(), "l", store.LeaseOptions{For: time.Minute}); err == nil {
			t.Error("Unlock reached the store")
		}
		mustTell(t, news(), store.News{Err: errCut})
		a.Down(nil)
		mustTell(t, news(), store.News{Missed: true})
		if err := b.Put(t.Context(), store.Write{Name: "b", Record: first.Record}); err != nil {
			t.Fatal(err)
		}
		mustTell(t, news(), store.News{Changes: []store.Change{{Name: "b", Came: true}}})
	})
}

func TestStore_Empty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		a, b := s.Shared("a"), s.Shared("b")
		newsA, newsB := told(t, a), told(t, b)
		lease, err := a.Lock(t.Context(), "l", store.LeaseOptions{For: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = a.Remember(t.Context(), "v", []byte("x"), time.Hour)
		if err = errors.Join(err, a.Put(t.Context(), first)); err != nil {
			t.Fatal(err)
		}
		_, _ = newsA(), newsB()
		b.Down(errCut)
		mustTell(t, newsB(), store.News{Err: errCut})
		s.Empty()
		mustTell(t, newsA(), store.News{Missed: true, Emptied: true})
		if all, err := a.List(t.Context(), "", "", 10); err != nil || len(all) != 0 {
			t.Errorf("the store has %v, %v", all, err)
		}
		if err := lease.Extend(t.Context()); !errors.Is(err, store.ErrLost) {
			t.Errorf("Extend: %v, want ErrLost", err)
		}
		if _, mine, err := a.Remember(t.Context(), "v", []byte("y"), time.Hour); !mine || err != nil {
			t.Errorf("Remember: %t, %v", mine, err)
		}
		b.Down(nil)
		mustTell(t, newsB(), store.News{Missed: true, Emptied: true})
		next, err := b.Lock(t.Context(), "l", store.LeaseOptions{For: time.Minute, Fence: lease.Fence()})
		if err != nil || next.Fence() <= lease.Fence() {
			t.Errorf("Lock: %v, %v", next, err)
		}
	})
}

// What was done directly on the store is news to all views.
func TestShared_NewsOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		news := told(t, s.Shared("a"))
		mustTell(t, news(), store.News{Missed: true})
		if err := s.Put(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		mustTell(t, news(), store.News{Changes: []store.Change{{Name: "a", Came: true}}})
	})
}

// Each view has levers of its own.
func TestShared_Options(t *testing.T) {
	s := memstore.New(memstore.Options{})
	a, b := s.Shared("a"), s.Shared("b")
	lost := errors.New("no answer")
	a.LosePut = func([]store.Write) error { return lost }
	b.FailPut = func([]store.Write) error { return errCut }
	if err := a.Put(t.Context(), first); !errors.Is(err, lost) {
		t.Errorf("Put: %v, want %v", err, lost)
	}
	if err := b.Put(t.Context(), store.Write{Name: "b", Record: first.Record}); !errors.Is(err, errCut) {
		t.Errorf("Put: %v, want %v", err, errCut)
	}
	if all, err := b.List(t.Context(), "", "", 10); err != nil || len(all) != 1 || all[0].Name != "a" {
		t.Errorf("the store has %v, %v", all, err)
	}
}
