package storetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

func fill(t *testing.T, s store.Store, names ...string) {
	t.Helper()
	for _, n := range names {
		put(t, s, set(n, none, "content of "+n))
	}
}

func testOddNames(t *testing.T, s store.Store) {
	names := []string{"a/b", "a//b", "a b", "a\x00b", "a\xffb", "\xff", "\xff\xff", "票", "a", "A", "a*", "a?", "a[b]", `a\b`, strings.Repeat("n", 500)}
	fill(t, s, names...)
	for _, n := range names {
		holds(t, s, n, rec(1, "content of "+n))
		lists(t, s, n, prefixBefore(n), 1, n)
	}
	slices.Sort(names)
	lists(t, s, "", "", 100, names...)
}

// prefixBefore is a name that is not after any name beginning with n.
func prefixBefore(n string) string { return n[:len(n)-1] }

func testListOrder(t *testing.T, s store.Store) {
	lists(t, s, "", "", 10)
	fill(t, s, "b", "a", "c/2", "c/10", "c", "B", "c/1")
	lists(t, s, "", "", 10, "B", "a", "b", "c", "c/1", "c/10", "c/2")
	for _, n := range all(t, s, "", 10) {
		if diff := cmp.Diff(rec(1, "content of "+n.Name), n.Record); diff != "" {
			t.Errorf("%s (-want +got):\n%s", n.Name, diff)
		}
	}
}

func testListPrefix(t *testing.T, s store.Store) {
	fill(t, s, "a", "a/", "a/1", "a/2", "a0", "b", "\xfe", "\xff", "\xff\x01", "\xff\xff")
	lists(t, s, "a/", "", 10, "a/", "a/1", "a/2")
	lists(t, s, "a", "", 10, "a", "a/", "a/1", "a/2", "a0")
	lists(t, s, "a/1", "", 10, "a/1")
	lists(t, s, "a/10", "", 10)
	lists(t, s, "none", "", 10)
	lists(t, s, "\xff", "", 10, "\xff", "\xff\x01", "\xff\xff")
	lists(t, s, "\xff\xff\xff", "", 10)
	// after that lies before, at, inside and behind the prefix
	lists(t, s, "a/", "A", 10, "a/", "a/1", "a/2")
	lists(t, s, "a/", "a", 10, "a/", "a/1", "a/2")
	lists(t, s, "a/", "a/", 10, "a/1", "a/2")
	lists(t, s, "a/", "a/1", 10, "a/2")
	lists(t, s, "a/", "a/1x", 10, "a/2")
	lists(t, s, "a/", "a/2", 10)
	lists(t, s, "a/", "b", 10)
	lists(t, s, "", "\xff\xff", 10)
}

func testListPages(t *testing.T, s store.Store) {
	var writes []store.Write
	var want []string
	for i := range 257 {
		writes = append(writes, set(nameOf(i), none, "x"))
		want = append(want, nameOf(i))
	}
	put(t, s, append(writes, set("a", none, "before"), set("z", none, "behind"))...)
	for _, limit := range []int{1, 2, 16, 256, 257, 258, 1000} {
		var got []string
		for _, n := range all(t, s, "authorizer/", limit) {
			got = append(got, n.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
		}
	}
}

func testListLimit(t *testing.T, s store.Store) {
	fill(t, s, "a", "b", "c")
	lists(t, s, "", "", 0)
	lists(t, s, "", "", -1)
	lists(t, s, "", "", 2, "a", "b")
	lists(t, s, "", "", 3, "a", "b", "c")
}
