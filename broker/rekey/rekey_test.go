package rekey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/rekey"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

func ring(t *testing.T, current, previous byte) *seal.Keyring {
	t.Helper()
	var prev []byte
	if previous != 0 {
		prev = bytes.Repeat([]byte{previous}, seal.KeySize)
	}
	k, err := seal.New(bytes.Repeat([]byte{current}, seal.KeySize), prev)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func nameOf(i int) string { return fmt.Sprintf("authorizer/%04d", i) }

func fill(t *testing.T, s store.Store, k *seal.Keyring, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		sealed := k.Seal(nameOf(i), 1, []byte(nameOf(i)))
		if err := s.Put(t.Context(), store.Write{Name: nameOf(i), Record: store.Record{Generation: 1, Sealed: sealed}}); err != nil {
			t.Fatal(err)
		}
	}
}

// opens fails the test unless all n records open with k.
func opens(t *testing.T, s store.Store, k *seal.Keyring, n int) {
	t.Helper()
	page, err := s.List(t.Context(), "", "", n+1)
	if err != nil || len(page) != n {
		t.Fatalf("%d records of %d, %v", len(page), n, err)
	}
	for _, r := range page {
		if got, err := k.Open(r.Name, r.Generation, r.Sealed); err != nil || string(got) != r.Name {
			t.Errorf("%s: %q, %v", r.Name, got, err)
		}
	}
}

func TestRun(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 350} {
		s := memstore.New(memstore.Options{})
		fill(t, s, ring(t, 1, 0), 0, n)
		fill(t, s, ring(t, 2, 0), n, n+7)
		got, err := rekey.Run(t.Context(), s, ring(t, 2, 1))
		if diff := cmp.Diff(rekey.Result{Resealed: n, Current: 7}, got); err != nil || diff != "" {
			t.Errorf("%d records: %v (-want +got):\n%s", n, err, diff)
		}
		opens(t, s, ring(t, 2, 0), n+7)
		got, err = rekey.Run(t.Context(), s, ring(t, 2, 1))
		if diff := cmp.Diff(rekey.Result{Current: n + 7}, got); err != nil || diff != "" {
			t.Errorf("%d records, again: %v (-want +got):\n%s", n, err, diff)
		}
	}
}

func TestRun_GoesOnPastWhatDoesNotOpen(t *testing.T) {
	s := memstore.New(memstore.Options{})
	fill(t, s, ring(t, 1, 0), 0, 5)
	fill(t, s, ring(t, 9, 0), 5, 6)
	fill(t, s, ring(t, 1, 0), 6, 10)
	got, err := rekey.Run(t.Context(), s, ring(t, 2, 1))
	if !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("%v, want ErrWrongKey", err)
	}
	if diff := cmp.Diff(rekey.Result{Resealed: 9, Failed: []string{nameOf(5)}}, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestRun_BeginsAgainAfterAFailure(t *testing.T) {
	broken, puts := errors.New("disk full"), 0
	s := memstore.New(memstore.Options{FailPut: func([]store.Write) error {
		if puts++; puts == 252 { // the filling is 250, then one page
			return broken
		}
		return nil
	}})
	fill(t, s, ring(t, 1, 0), 0, 250)
	got, err := rekey.Run(t.Context(), s, ring(t, 2, 1))
	if !errors.Is(err, broken) || got.Resealed != 100 {
		t.Errorf("%+v, %v, want the store's error after one page", got, err)
	}
	opens(t, s, ring(t, 2, 1), 250)
	if got, err = rekey.Run(t.Context(), s, ring(t, 2, 1)); err != nil || got.Resealed != 150 || got.Current != 100 {
		t.Errorf("again: %+v, %v", got, err)
	}
	opens(t, s, ring(t, 2, 0), 250)
}

// TestRun_OthersWrite: a record that changes or goes between reading and writing
// keeps its newer content.
func TestRun_OthersWrite(t *testing.T) {
	var s *memstore.Store
	current, interfering := ring(t, 2, 1), false
	s = memstore.New(memstore.Options{FailPut: func(writes []store.Write) error {
		if !interfering || len(writes) == 1 {
			return nil
		}
		interfering = false
		newer := current.Seal(nameOf(3), 2, []byte(nameOf(3)))
		held, err := s.GetAll(t.Context(), []string{nameOf(3), nameOf(4)})
		if err != nil {
			return err
		}
		return s.Put(t.Context(),
			store.Write{Name: nameOf(3), Base: held[0].Version(), Record: store.Record{Generation: 2, Sealed: newer}},
			store.Write{Name: nameOf(4), Base: held[1].Version()})
	}})
	fill(t, s, ring(t, 1, 0), 0, 10)
	interfering = true
	got, err := rekey.Run(t.Context(), s, current)
	if err != nil || got.Resealed != 8 || got.Current != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	opens(t, s, ring(t, 2, 0), 9)
	if rec, err := s.Get(t.Context(), nameOf(3)); err != nil || rec.Generation != 2 {
		t.Errorf("the newer record: generation %d, %v", rec.Generation, err)
	}
}

// A write that leaves the generation as it is wins as well.
func TestRun_SameGenerationWins(t *testing.T) {
	var s *memstore.Store
	current, interfering := ring(t, 2, 1), false
	s = memstore.New(memstore.Options{FailPut: func([]store.Write) error {
		if !interfering {
			return nil
		}
		interfering = false
		held, err := s.Get(t.Context(), nameOf(0))
		if err != nil {
			return err
		}
		sealed := ring(t, 1, 2).Seal(nameOf(0), 1, []byte("last use")) // a replica that has not been restarted yet
		return s.Put(t.Context(), store.Write{Name: nameOf(0), Base: held.Version(), Record: store.Record{Generation: 1, Sealed: sealed}})
	}})
	fill(t, s, ring(t, 1, 0), 0, 3)
	interfering = true
	if got, err := rekey.Run(t.Context(), s, current); err != nil || got.Resealed != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	rec, err := s.Get(t.Context(), nameOf(0))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := ring(t, 2, 0).Open(nameOf(0), 1, rec.Sealed); err != nil || string(plain) != "last use" {
		t.Errorf("it has %q, %v", plain, err)
	}
}

func TestRun_Cancelled(t *testing.T) {
	s := memstore.New(memstore.Options{})
	fill(t, s, ring(t, 1, 0), 0, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rekey.Run(ctx, s, ring(t, 2, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
