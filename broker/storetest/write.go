package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

func testGetAndPut(t *testing.T, s store.Store) {
	put(t, s, set("a", 0, "one"))
	holds(t, s, "a", rec(1, "one"))
	put(t, s, set("a", 1, "two"))
	holds(t, s, "a", rec(2, "two"))
	put(t, s, store.Write{Name: "a", Base: 2, Record: rec(2, "two, amended")})
	holds(t, s, "a", rec(2, "two, amended"))
	put(t, s, set("b", 0, "other"))
	holds(t, s, "a", rec(2, "two, amended"))
	holds(t, s, "b", rec(1, "other"))
}

func testNotFound(t *testing.T, s store.Store) {
	absent(t, s, "a")
	put(t, s, set("ab", 0, "x"))
	absent(t, s, "a")
	absent(t, s, "abc")
	absent(t, s, "")
}

func testDelete(t *testing.T, s store.Store) {
	put(t, s, set("a", 0, "one"), set("b", 0, "one"))
	conflicts(t, s, remove("a", 0))
	conflicts(t, s, remove("a", 2))
	holds(t, s, "a", rec(1, "one"))
	put(t, s, remove("a", 1))
	absent(t, s, "a")
	holds(t, s, "b", rec(1, "one"))
	lists(t, s, "", "", 10, "b")
	conflicts(t, s, remove("a", 1))
	put(t, s, remove("a", 0)) // there is none, as the base says
	put(t, s, set("a", 0, "anew"))
	holds(t, s, "a", rec(1, "anew"))
}

func testEmptyContent(t *testing.T, s store.Store) {
	put(t, s, store.Write{Name: "a", Record: store.Record{Generation: 1, Sealed: []byte{}}})
	holds(t, s, "a", store.Record{Generation: 1, Sealed: []byte{}})
	lists(t, s, "", "", 10, "a")
}

func testCompareAndSet(t *testing.T, s store.Store) {
	conflicts(t, s, set("a", 1, "x"))
	absent(t, s, "a")
	put(t, s, set("a", 0, "one"))
	conflicts(t, s, set("a", 0, "late"))
	conflicts(t, s, set("a", 2, "early"))
	conflicts(t, s, store.Write{Name: "a", Base: 0, Record: rec(1, "late, same generation")})
	holds(t, s, "a", rec(1, "one"))
}

func testAllOrNone(t *testing.T, s store.Store) {
	put(t, s, set("a", 0, "a1"), set("b", 0, "b1"), set("c", 0, "c1"))
	conflicts(t, s, set("a", 1, "a2"), set("b", 9, "b2"), remove("c", 1))
	conflicts(t, s, set("d", 0, "d1"), remove("a", 1), set("c", 0, "c1 again"))
	holds(t, s, "a", rec(1, "a1"))
	holds(t, s, "b", rec(1, "b1"))
	holds(t, s, "c", rec(1, "c1"))
	absent(t, s, "d")
	put(t, s, set("a", 1, "a2"), remove("b", 1), set("d", 0, "d1"))
	holds(t, s, "a", rec(2, "a2"))
	absent(t, s, "b")
	holds(t, s, "d", rec(1, "d1"))
	lists(t, s, "", "", 10, "a", "c", "d")
}

func testNothingToWrite(t *testing.T, s store.Store) {
	put(t, s)
	lists(t, s, "", "", 10)
}

// testFaults: what no correct caller asks for is refused, but not as a conflict,
// which the caller would try to resolve for ever.
func testFaults(t *testing.T, s store.Store) {
	put(t, s, set("a", 0, "one"))
	refused := func(what string, writes ...store.Write) {
		t.Helper()
		if err := s.Put(t.Context(), writes...); err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v, want an error other than ErrConflict", what, err)
		}
	}
	refused("generation goes back", store.Write{Name: "a", Base: 1, Record: rec(0, "x")})
	refused("generation 0", store.Write{Name: "b", Base: 0, Record: rec(0, "x")})
	refused("no name", set("", 0, "x"))
	refused("one name twice", set("b", 0, "x"), set("b", 0, "y"))
	refused("a fault beside a good write", set("b", 0, "x"), store.Write{Name: "a", Base: 1, Record: rec(0, "x")})
	holds(t, s, "a", rec(1, "one"))
	lists(t, s, "", "", 10, "a")
}

func testBytesAreOwned(t *testing.T, s store.Store) {
	content := []byte("content")
	put(t, s, store.Write{Name: "a", Record: store.Record{Generation: 1, Sealed: content}})
	clear(content)
	want := rec(1, "content")
	holds(t, s, "a", want)
	got, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	clear(got.Sealed)
	holds(t, s, "a", want)
	page := all(t, s, "", 10)
	if len(page) != 1 {
		t.Fatalf("List gave %d records", len(page))
	}
	clear(page[0].Sealed)
	holds(t, s, "a", want)
	kept, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, set("a", 1, "CONTENT"))
	if string(kept.Sealed) != "content" {
		t.Errorf("bytes that Get gave became %q after a Put", kept.Sealed)
	}
}

func testSizes(t *testing.T, s store.Store) {
	for i, n := range []int{1, 1000, 4095, 4096, 4097, 65535, 65536, 1 << 20} {
		content := bytes.Repeat([]byte{byte(i + 1)}, n)
		put(t, s, set(nameOf(i), 0, string(content)))
	}
	for i, n := range []int{1, 1000, 4095, 4096, 4097, 65535, 65536, 1 << 20} {
		holds(t, s, nameOf(i), rec(1, string(bytes.Repeat([]byte{byte(i + 1)}, n))))
	}
}

func testCancelled(t *testing.T, s store.Store) {
	put(t, s, set("a", 0, "one"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want context.Canceled", err)
	}
	if _, err := s.List(ctx, "", "", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v, want context.Canceled", err)
	}
	if err := s.Put(ctx, set("a", 1, "two")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v, want context.Canceled", err)
	}
	holds(t, s, "a", rec(1, "one"))
}
