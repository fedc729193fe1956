package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/migrate"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

func ring(t *testing.T, key byte) *seal.Keyring {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte{key}, seal.KeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func nameOf(i int) string { return fmt.Sprintf("authorizer/%04d", i) }

// put stores a record of that generation, whatever there is.
func put(t *testing.T, s store.Store, name string, generation uint64, content string) {
	t.Helper()
	rec, err := s.Get(t.Context(), name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	sealed := ring(t, 1).Seal(name, generation, []byte(content))
	write := store.Write{Name: name, Base: rec.Version(), Record: store.Record{Generation: generation, Fence: 7, Sealed: sealed}}
	if err := s.Put(t.Context(), write); err != nil {
		t.Fatal(err)
	}
}

func filled(t *testing.T, n int) *memstore.Store {
	t.Helper()
	s := memstore.New(memstore.Options{})
	for i := range n {
		put(t, s, nameOf(i), uint64(i+1), nameOf(i))
	}
	return s
}

func all(t *testing.T, s store.Store) []store.Named {
	t.Helper()
	list, err := s.List(t.Context(), "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func alike(t *testing.T, from, to store.Store) {
	t.Helper()
	if diff := cmp.Diff(all(t, from), all(t, to)); diff != "" {
		t.Errorf("the stores differ (-from +to):\n%s", diff)
	}
}

func TestRun(t *testing.T) {
	for _, n := range []int{1, 99, 100, 101, 350} {
		from, to := filled(t, n), memstore.New(memstore.Options{})
		opts := migrate.Options{From: from, To: to, Keys: ring(t, 1), DryRun: true}
		for _, want := range []migrate.Result{{Copied: n}, {Copied: n}, {Same: n}} {
			got, err := migrate.Run(t.Context(), opts)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%d records: %v (-want +got):\n%s", n, err, diff)
			}
			if opts.DryRun && len(all(t, to)) != 0 {
				t.Fatal("a dry run wrote")
			}
			opts.DryRun = false
		}
		alike(t, from, to)
	}
}

func TestRun_Empty(t *testing.T) {
	to := filled(t, 2)
	_, err := migrate.Run(t.Context(), migrate.Options{From: filled(t, 0), To: to, Keys: ring(t, 1), Replace: true})
	if !errors.Is(err, migrate.ErrEmpty) || len(all(t, to)) != 2 {
		t.Errorf("%v; %d records", err, len(all(t, to)))
	}
}

// A target with records of its own is left as it is, unless it is to be replaced.
func TestRun_Occupied(t *testing.T) {
	from, to := filled(t, 250), filled(t, 0)
	put(t, to, nameOf(3), 4, "otherwise")
	put(t, to, nameOf(120), 500, "later")
	put(t, to, nameOf(121), 1, "earlier")
	for i := 250; i < 400; i++ {
		put(t, to, nameOf(i), 1, "alone")
	}
	before := all(t, to)
	opts := migrate.Options{From: from, To: to, Keys: ring(t, 1)}
	_, err := migrate.Run(t.Context(), opts)
	var occupied *migrate.OccupiedError
	if !errors.As(err, &occupied) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(&migrate.OccupiedError{Alone: 150, Differ: 3, Later: 1, Example: nameOf(399)}, occupied); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, all(t, to)); diff != "" {
		t.Errorf("it was changed:\n%s", diff)
	}
	opts.Replace = true
	got, err := migrate.Run(t.Context(), opts)
	if diff := cmp.Diff(migrate.Result{Copied: 247, Replaced: 3, Removed: 150}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	alike(t, from, to)
}

// Whatever write fails, the next attempt completes what was begun.
func TestRun_Resumes(t *testing.T) {
	away := errors.New("away")
	for fails := range 6 {
		from, writes := filled(t, 450), 0
		to := memstore.New(memstore.Options{
			FailPut: func([]store.Write) error {
				if writes++; writes == fails {
					return away
				}
				return nil
			},
			LosePut: func([]store.Write) error {
				if writes == fails+1 {
					return away
				}
				return nil
			},
		})
		opts, err := migrate.Options{From: from, To: to, Keys: ring(t, 1)}, away
		attempts := 0
		for ; errors.Is(err, away) && attempts < 5; attempts++ {
			_, err = migrate.Run(t.Context(), opts)
		}
		if err != nil || attempts < 2 && fails < 5 {
			t.Errorf("%d: %v after %d attempts", fails, err, attempts)
		}
		alike(t, from, to)
	}
}

// flip damages a record's seal.
func flip(t *testing.T, s store.Store, name string) {
	t.Helper()
	rec, err := s.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	base := rec.Version()
	rec.Sealed[len(rec.Sealed)-1] ^= 1
	if err := s.Put(t.Context(), store.Write{Name: name, Base: base, Record: rec}); err != nil {
		t.Fatal(err)
	}
}

func TestRun_DamagedStaysBehind(t *testing.T) {
	from, to := filled(t, 130), filled(t, 0)
	for _, i := range []int{0, 77, 129} {
		flip(t, from, nameOf(i))
	}
	got, err := migrate.Run(t.Context(), migrate.Options{From: from, To: to, Keys: ring(t, 1)})
	want := migrate.Result{Copied: 127, Damaged: []string{nameOf(0), nameOf(77), nameOf(129)}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || len(all(t, to)) != 127 {
		t.Errorf("%v; %d records (-want +got):\n%s", err, len(all(t, to)), diff)
	}
}

// One record under another key is enough: nothing is written.
func TestRun_WrongKey(t *testing.T) {
	from, to := filled(t, 150), filled(t, 0)
	name := nameOf(149)
	rec, err := from.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	base := rec.Version()
	rec.Sealed = ring(t, 2).Seal(name, rec.Generation, nil)
	if err := from.Put(t.Context(), store.Write{Name: name, Base: base, Record: rec}); err != nil {
		t.Fatal(err)
	}
	_, err = migrate.Run(t.Context(), migrate.Options{From: from, To: to, Keys: ring(t, 1)})
	if !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), name) || len(all(t, to)) != 0 {
		t.Errorf("%v; %d records", err, len(all(t, to)))
	}
}

func TestRun_Ignore(t *testing.T) {
	from, to := filled(t, 100), filled(t, 0)
	put(t, from, "meta/ca", 3, "from")
	put(t, to, "meta/ca", 9, "to")
	put(t, to, "meta/zz", 9, "to")
	got, err := migrate.Run(t.Context(), migrate.Options{From: from, To: to, Keys: ring(t, 1), Ignore: []string{"meta/ca", "meta/zz"}})
	if diff := cmp.Diff(migrate.Result{Copied: 100}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if rec, err := to.Get(t.Context(), "meta/ca"); err != nil || rec.Generation != 9 {
		t.Errorf("generation %d, %v", rec.Generation, err)
	}
}

// A sidecar that still writes to the source, or to the target, is noticed.
func TestRun_ChangedMeanwhile(t *testing.T) {
	f := func(change func(from, to *memstore.Store)) {
		t.Helper()
		var from, to *memstore.Store
		changed := false
		from = filled(t, 150)
		to = memstore.New(memstore.Options{LosePut: func([]store.Write) error {
			if !changed {
				changed = true
				change(from, to)
			}
			return nil
		}})
		if _, err := migrate.Run(t.Context(), migrate.Options{From: from, To: to, Keys: ring(t, 1)}); !errors.Is(err, migrate.ErrChanged) {
			t.Errorf("got %v", err)
		}
	}
	f(func(from, _ *memstore.Store) { put(t, from, nameOf(5), 6, "renewed") })
	f(func(from, _ *memstore.Store) { put(t, from, "b/new", 1, "new") })
	f(func(_, to *memstore.Store) { put(t, to, nameOf(5), 7, "renewed") })
	f(func(_, to *memstore.Store) { put(t, to, nameOf(149), 7, "renewed") })
	f(func(_, to *memstore.Store) { put(t, to, "a/new", 1, "new") })
}

func TestRun_Ends(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	from := memstore.New(memstore.Options{Wait: func(ctx context.Context) error { return ctx.Err() }})
	if _, err := migrate.Run(ctx, migrate.Options{From: from, To: filled(t, 0), Keys: ring(t, 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
