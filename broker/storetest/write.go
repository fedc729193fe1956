package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

func testGetAndPut(t *testing.T, s store.Store) {
	put(t, s, set("a", none, "one"))
	holds(t, s, "a", rec(1, "one"))
	put(t, s, set("a", rec(1, "one"), "two"))
	holds(t, s, "a", rec(2, "two"))
	put(t, s, amend("a", rec(2, "two"), "two, amended"))
	holds(t, s, "a", rec(2, "two, amended"))
	put(t, s, set("b", none, "other"))
	holds(t, s, "a", rec(2, "two, amended"))
	holds(t, s, "b", rec(1, "other"))
}

func testNotFound(t *testing.T, s store.Store) {
	absent(t, s, "a")
	put(t, s, set("ab", none, "x"))
	absent(t, s, "a")
	absent(t, s, "abc")
	absent(t, s, "")
}

func testDelete(t *testing.T, s store.Store) {
	put(t, s, set("a", none, "one"), set("b", none, "one"))
	conflicts(t, s, remove("a", none))
	conflicts(t, s, remove("a", rec(2, "one")))
	conflicts(t, s, remove("a", rec(1, "another")))
	holds(t, s, "a", rec(1, "one"))
	put(t, s, remove("a", rec(1, "one")))
	absent(t, s, "a")
	holds(t, s, "b", rec(1, "one"))
	lists(t, s, "", "", 10, "b")
	conflicts(t, s, remove("a", rec(1, "one")))
	put(t, s, remove("a", none)) // there is none, as the base says
	put(t, s, set("a", none, "anew"))
	holds(t, s, "a", rec(1, "anew"))
}

// testRevisions: of two who change a record and keep its generation, the one that was slower is
// told so.
func testRevisions(t *testing.T, s store.Store) {
	read := rec(1, "one")
	put(t, s, set("a", none, "one"))
	put(t, s, amend("a", read, "used at noon"))
	conflicts(t, s, amend("a", read, "used at one"))
	conflicts(t, s, set("a", read, "renewed"))
	conflicts(t, s, remove("a", read))
	conflicts(t, s, set("b", none, "beside"), amend("a", read, "used at one"))
	absent(t, s, "b")
	holds(t, s, "a", rec(1, "used at noon"))
	put(t, s, set("a", rec(1, "used at noon"), "renewed"))
	holds(t, s, "a", rec(2, "renewed"))
}

func testGetAll(t *testing.T, s store.Store) {
	fill(t, s, "a", "b", "c")
	got, err := s.GetAll(t.Context(), []string{"c", "none", "a", ""})
	if err != nil {
		t.Fatalf("GetAll: %v", err)
	}
	want := []store.Named{{Name: "c", Record: rec(1, "content of c")}, {Name: "a", Record: rec(1, "content of a")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GetAll (-want +got):\n%s", diff)
	}
	for i := range got {
		clear(got[i].Sealed)
	}
	holds(t, s, "c", rec(1, "content of c"))
	if got, err := s.GetAll(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("GetAll of nothing: %v, %v", got, err)
	}
}

func testEmptyContent(t *testing.T, s store.Store) {
	put(t, s, store.Write{Name: "a", Record: store.Record{Generation: 1, Sealed: []byte{}}})
	holds(t, s, "a", store.Record{Generation: 1, Sealed: []byte{}})
	lists(t, s, "", "", 10, "a")
}

func testCompareAndSet(t *testing.T, s store.Store) {
	conflicts(t, s, set("a", rec(1, "x"), "x"))
	absent(t, s, "a")
	put(t, s, set("a", none, "one"))
	conflicts(t, s, set("a", none, "late"))
	conflicts(t, s, set("a", rec(2, "one"), "early"))
	conflicts(t, s, set("a", rec(1, "other"), "late"))
	conflicts(t, s, store.Write{Name: "a", Record: rec(1, "late, same generation")})
	holds(t, s, "a", rec(1, "one"))
}

func testAllOrNone(t *testing.T, s store.Store) {
	put(t, s, set("a", none, "a1"), set("b", none, "b1"), set("c", none, "c1"))
	a1, b1, c1 := rec(1, "a1"), rec(1, "b1"), rec(1, "c1")
	conflicts(t, s, set("a", a1, "a2"), set("b", rec(9, "b1"), "b2"), remove("c", c1))
	conflicts(t, s, set("d", none, "d1"), remove("a", a1), set("c", none, "c1 again"))
	holds(t, s, "a", rec(1, "a1"))
	holds(t, s, "b", rec(1, "b1"))
	holds(t, s, "c", rec(1, "c1"))
	absent(t, s, "d")
	put(t, s, set("a", a1, "a2"), remove("b", b1), set("d", none, "d1"))
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
	put(t, s, set("a", none, "one"))
	refused := func(what string, writes ...store.Write) {
		t.Helper()
		if err := s.Put(t.Context(), writes...); err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v, want an error other than ErrConflict", what, err)
		}
	}
	refused("generation goes back", store.Write{Name: "a", Base: rec(1, "one").Version(), Record: rec(0, "x")})
	refused("generation 0", store.Write{Name: "b", Record: rec(0, "x")})
	refused("no name", set("", none, "x"))
	refused("one name twice", set("b", none, "x"), set("b", none, "y"))
	refused("a fault beside a good write", set("b", none, "x"), store.Write{Name: "a", Base: rec(1, "one").Version(), Record: rec(0, "x")})
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
	put(t, s, set("a", want, "CONTENT"))
	if string(kept.Sealed) != "content" {
		t.Errorf("bytes that Get gave became %q after a Put", kept.Sealed)
	}
}

func testSizes(t *testing.T, s store.Store) {
	for i, n := range []int{1, 1000, 4095, 4096, 4097, 65535, 65536, 1 << 20} {
		content := bytes.Repeat([]byte{byte(i + 1)}, n)
		put(t, s, set(nameOf(i), none, string(content)))
	}
	for i, n := range []int{1, 1000, 4095, 4096, 4097, 65535, 65536, 1 << 20} {
		holds(t, s, nameOf(i), rec(1, string(bytes.Repeat([]byte{byte(i + 1)}, n))))
	}
}

func testCancelled(t *testing.T, s store.Store) {
	put(t, s, set("a", none, "one"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want context.Canceled", err)
	}
	if _, err := s.GetAll(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("GetAll: %v, want context.Canceled", err)
	}
	if _, err := s.List(ctx, "", "", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v, want context.Canceled", err)
	}
	if err := s.Put(ctx, set("a", rec(1, "one"), "two")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v, want context.Canceled", err)
	}
	holds(t, s, "a", rec(1, "one"))
}
