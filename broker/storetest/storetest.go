// Package storetest is what every [store.Store] has to pass: the contract of that
// interface as tests.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return … })
//	}
//
// The package is for tests only and makes no API promise outside this module.
package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Open returns an empty store for one test, and sees to it (t.Cleanup) that it is
// closed after it.
type Open func(t *testing.T) store.Store

// Run runs the suite; each part gets a store of its own.
func Run(t *testing.T, open Open) {
	parts := []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"GetAndPut", testGetAndPut},
		{"NotFound", testNotFound},
		{"Delete", testDelete},
		{"EmptyContentIsARecord", testEmptyContent},
		{"CompareAndSet", testCompareAndSet},
		{"Revisions", testRevisions},
		{"GetAll", testGetAll},
		{"AllOrNone", testAllOrNone},
		{"NothingToWrite", testNothingToWrite},
		{"Faults", testFaults},
		{"BytesAreOwned", testBytesAreOwned},
		{"Sizes", testSizes},
		{"OddNames", testOddNames},
		{"ListOrder", testListOrder},
		{"ListPrefix", testListPrefix},
		{"ListPages", testListPages},
		{"ListLimit", testListLimit},
		{"Cancelled", testCancelled},
		{"Contention", testContention},
		{"Transfers", testTransfers},
		{"ListWhileWriting", testListWhileWriting},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t, open(t)) })
	}
	t.Run("Model", func(t *testing.T) { testModel(t, open) })
}

// rec is a record of that generation with that content.
func rec(generation uint64, content string) store.Record {
	return store.Record{Generation: generation, Sealed: []byte(content)}
}

// none is what is stored under a name without a record.
var none store.Record

// set is a write over base that makes the next generation.
func set(name string, base store.Record, content string) store.Write {
	return store.Write{Name: name, Base: base.Version(), Record: rec(base.Generation+1, content)}
}

// amend is a write over base that keeps its generation.
func amend(name string, base store.Record, content string) store.Write {
	return store.Write{Name: name, Base: base.Version(), Record: rec(base.Generation, content)}
}

// remove is a write over base that deletes.
func remove(name string, base store.Record) store.Write {
	return store.Write{Name: name, Base: base.Version()}
}

func put(t *testing.T, s store.Store, writes ...store.Write) {
	t.Helper()
	if err := s.Put(t.Context(), writes...); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func conflicts(t *testing.T, s store.Store, writes ...store.Write) {
	t.Helper()
	if err := s.Put(t.Context(), writes...); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Put: %v, want ErrConflict", err)
	}
}

func holds(t *testing.T, s store.Store, name string, want store.Record) {
	t.Helper()
	got, err := s.Get(t.Context(), name)
	if err != nil {
		t.Errorf("Get %q: %v", name, err)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Get %q (-want +got):\n%s", name, diff)
	}
}

func absent(t *testing.T, s store.Store, name string) {
	t.Helper()
	if got, err := s.Get(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get %q: generation %d, %v, want ErrNotFound", name, got.Generation, err)
	}
}

// lists compares the names that List gives.
func lists(t *testing.T, s store.Store, prefix, after string, limit int, want ...string) {
	t.Helper()
	got, err := s.List(t.Context(), prefix, after, limit)
	if err != nil {
		t.Errorf("List %q after %q: %v", prefix, after, err)
		return
	}
	var names []string
	for _, n := range got {
		names = append(names, n.Name)
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("List %q after %q, at most %d (-want +got):\n%s", prefix, after, limit, diff)
	}
}

// all returns every record below prefix, read by pages.
func all(t *testing.T, s store.Store, prefix string, limit int) []store.Named {
	t.Helper()
	var out []store.Named
	for after := ""; ; {
		page, err := s.List(t.Context(), prefix, after, limit)
		if err != nil {
			t.Fatalf("List %q after %q: %v", prefix, after, err)
		}
		out = append(out, page...)
		if len(page) < limit {
			return out
		}
		after = page[len(page)-1].Name
	}
}

func nameOf(i int) string { return fmt.Sprintf("authorizer/wx%016x", i) }
