package storetest

import (
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// OpenShared returns the views that many sidecars have of one empty store, for one test, and sees to
// it (t.Cleanup) that they are closed after it.
type OpenShared func(t *testing.T, views int) []store.Shared

// RunShared runs the suite of a [store.Shared], and that of a [store.Store] on one view of it. Leases
// and values of the suite end by themselves, in real time unless all runs in a bubble.
func RunShared(t *testing.T, open OpenShared) {
	t.Run("Store", func(t *testing.T) {
		Run(t, func(t *testing.T) store.Store { return open(t, 1)[0] })
	})
	parts := []struct {
		name  string
		views int
		run   func(*testing.T, []store.Shared)
	}{
		{"RecordsAreShared", 2, testRecordsAreShared},
		{"FencesAreKept", 2, testFencesAreKept},
		{"PutAgain", 2, testPutAgain},
		{"PutAgainOverAnother", 2, testPutAgainOverAnother},
		{"Lease", 3, testLease},
		{"LeaseOfMine", 2, testLeaseOfMine},
		{"LeaseEnds", 2, testLeaseEnds},
		{"LeaseExtended", 2, testLeaseExtended},
		{"LeaseLost", 3, testLeaseLost},
		{"LeasesOfOtherNames", 2, testLeasesOfOtherNames},
		{"Fences", 3, testFences},
		{"LeaseOfAStaleRecord", 2, testLeaseOfAStaleRecord},
		{"LeaseContention", 4, testLeaseContention},
		{"LockCancelled", 1, testLockCancelled},
		{"NewsBegins", 1, testNewsBegins},
		{"News", 3, testNews},
		{"NewsInOrder", 3, testNewsInOrder},
		{"NewsOfAll", 2, testNewsOfAll},
		{"TellUsesTheStore", 2, testTellUsesTheStore},
		{"Presence", 3, testPresence},
		{"Remember", 2, testRemember},
		{"RememberRace", 4, testRememberRace},
		{"Forgets", 2, testForgets},
		{"Replace", 2, testReplace},
		{"ReplaceProlongs", 2, testReplaceProlongs},
		{"ReplaceRace", 4, testReplaceRace},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t, open(t, p.views)) })
	}
}

const (
	// long is a life that no test outlasts, brief one whose end a test waits for, and short one
	// within which a test does something before it waits for the end.
	long  = time.Minute
	brief = 150 * time.Millisecond
	short = 1500 * time.Millisecond
	// patience bounds every wait. What takes longer has failed.
	patience = 20 * time.Second
)

// await asks done again until it is so.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-late.C:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// fenced is a write over base that makes the next generation, obtained under a lease.
func fenced(name string, base store.Record, content string, fence uint64) store.Write {
	w := set(name, base, content)
	w.Record.Fence = fence
	return w
}

func testRecordsAreShared(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	put(t, a, set("k", none, "of a"))
	holds(t, b, "k", rec(1, "of a"))
	put(t, b, set("k", rec(1, "of a"), "of b"))
	conflicts(t, a, set("k", rec(1, "of a"), "of a again"))
	holds(t, a, "k", rec(2, "of b"))
	put(t, a, remove("k", rec(2, "of b")))
	absent(t, b, "k")
	lists(t, b, "", "", 10)
}

func testFencesAreKept(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	want := store.Record{Generation: 1, Fence: 1 << 60, Sealed: []byte("one")}
	put(t, a, fenced("k", none, "one", 1<<60), set("other", none, "x"))
	holds(t, a, "k", want)
	holds(t, b, "k", want)
	holds(t, b, "other", rec(1, "x"))
	some, err := b.GetAll(t.Context(), []string{"k"})
	if err != nil || len(some) != 1 || some[0].Fence != want.Fence {
		t.Errorf("GetAll: %v, %v, want the fence %d", some, err, want.Fence)
	}
	if page := all(t, b, "k", 10); len(page) != 1 || page[0].Fence != want.Fence {
		t.Errorf("List: %v, want the fence %d", page, want.Fence)
	}
	put(t, b, fenced("k", want, "two", want.Fence+1))
	want = store.Record{Generation: 2, Fence: 1<<60 + 1, Sealed: []byte("two")}
	holds(t, a, "k", want)
}

// testPutAgain: who got no answer may write the very same again, and is told that it is in.
func testPutAgain(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	put(t, a, set("gone", none, "x"))
	writes := []store.Write{fenced("k", none, "one", 7), set("beside", none, "too"), remove("gone", rec(1, "x"))}
	put(t, a, writes...)
	put(t, a, writes...)
	one := store.Record{Generation: 1, Fence: 7, Sealed: []byte("one")}
	holds(t, b, "k", one)
	holds(t, b, "beside", rec(1, "too"))
	absent(t, b, "gone")
	again := fenced("k", one, "two", 8)
	put(t, a, again)
	put(t, a, again)
	conflicts(t, a, writes...)
	holds(t, b, "k", store.Record{Generation: 2, Fence: 8, Sealed: []byte("two")})
}

// testPutAgainOverAnother: what another wrote meanwhile stays, and nothing is done by halves.
func testPutAgainOverAnother(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	writes := []store.Write{set("k", none, "one"), set("beside", none, "too")}
	put(t, a, writes...)
	put(t, b, amend("beside", rec(1, "too"), "of b"))
	conflicts(t, a, writes...)
	put(t, b, remove("k", rec(1, "one")))
	conflicts(t, a, writes...)
	conflicts(t, a, set("k", none, "one"), set("beside", none, "too"), set("more", none, "x"))
	absent(t, a, "k")
	absent(t, a, "more")
	holds(t, a, "beside", rec(1, "of b"))
}
