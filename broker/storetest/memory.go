package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// remembers asks a view to keep a value, and compares what it says.
func remembers(t *testing.T, m store.Memory, name, value string, ttl time.Duration, wantKept string, wantMine bool) {
	t.Helper()
	kept, mine, err := m.Remember(t.Context(), name, []byte(value), ttl)
	if err != nil || string(kept) != wantKept || mine != wantMine {
		t.Errorf("Remember %q = %q, %t, %v, want %q, %t", name, kept, mine, err, wantKept, wantMine)
	}
}

func replaces(t *testing.T, m store.Memory, name string, old, value []byte, ttl time.Duration, want bool) {
	t.Helper()
	if did, err := m.Replace(t.Context(), name, old, value, ttl); err != nil || did != want {
		t.Errorf("Replace %q = %t, %v, want %t", name, did, err, want)
	}
}

func testRemember(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	remembers(t, a, "k", "of a", long, "of a", true)
	remembers(t, b, "k", "of b", long, "of a", false)
	remembers(t, a, "k", "of a", long, "of a", false) // it was kept before
	remembers(t, b, "k/1", "of b", long, "of b", true)
	remembers(t, b, "same", "1", long, "1", true)
	remembers(t, a, "same", "1", long, "1", false)
	absent(t, a, "k") // a value is no record
	lists(t, a, "", "", 10)
	odd := "\x00\xff\r\n"
	remembers(t, a, odd, odd, long, odd, true)
	remembers(t, b, odd, "x", long, odd, false)
}

// testRememberRace: of several that come at once one is told that its value is kept.
func testRememberRace(t *testing.T, views []store.Shared) {
	for round := range 10 {
		name := fmt.Sprint("k", round)
		var wg sync.WaitGroup
		kept, mine := make([]string, len(views)), make([]bool, len(views))
		for i, v := range views {
			wg.Go(func() {
				value, won, err := v.Remember(t.Context(), name, []byte{byte('a' + i)}, long)
				if err != nil {
					t.Errorf("Remember: %v", err)
				}
				kept[i], mine[i] = string(value), won
			})
		}
		wg.Wait()
		winners := 0
		for i := range views {
			if kept[i] != kept[0] {
				t.Errorf("one value is kept, but views were told %q and %q", kept[0], kept[i])
			}
			if mine[i] {
				winners++
				if kept[i] != string(rune('a'+i)) {
					t.Errorf("view %d was told that its value is kept, and %q", i, kept[i])
				}
			}
		}
		if winners != 1 {
			t.Errorf("%d views were told that their value is kept", winners)
		}
	}
}

func testForgets(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	remembers(t, a, "k", "first", brief, "first", true)
	remembers(t, a, "stays", "x", long, "x", true)
	var kept []byte
	await(t, "the value to be forgotten", func() bool {
		var mine bool
		var err error
		kept, mine, err = b.Remember(t.Context(), "k", []byte("second"), long)
		if err != nil {
			t.Fatalf("Remember: %v", err)
		}
		return mine
	})
	if string(kept) != "second" {
		t.Errorf("%q is kept", kept)
	}
	remembers(t, a, "k", "third", long, "second", false)
	remembers(t, b, "stays", "y", long, "x", false)
}

// testReplaceProlongs: a value has the life that it was last given.
func testReplaceProlongs(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	remembers(t, a, "k", "x", short, "x", true)
	replaces(t, b, "k", []byte("x"), []byte("y"), long, true)
	remembers(t, a, "probe", "x", short, "x", true)
	await(t, "a life to pass", func() bool {
		_, mine, err := b.Remember(t.Context(), "probe", []byte("y"), long)
		return err == nil && mine
	})
	remembers(t, a, "k", "z", long, "y", false)
}

func testReplace(t *testing.T, views []store.Shared) {
	a, b := views[0], views[1]
	replaces(t, a, "k", []byte("x"), []byte("y"), long, false)
	remembers(t, a, "k", "one", long, "one", true)
	replaces(t, b, "k", []byte("other"), []byte("two"), long, false)
	remembers(t, b, "k", "x", long, "one", false)
	replaces(t, b, "k", []byte("one"), []byte("two"), long, true)
	replaces(t, a, "k", []byte("one"), []byte("three"), long, false)
	remembers(t, a, "k", "x", long, "two", false)
	replaces(t, a, "k", []byte("one"), nil, 0, false)
	replaces(t, a, "k", []byte("two"), nil, 0, true)
	replaces(t, a, "k", []byte("two"), nil, 0, false)
	remembers(t, b, "k", "anew", long, "anew", true)
	replaces(t, b, "k", []byte("anew"), []byte{}, long, true) // empty is not nothing
	remembers(t, a, "k", "x", long, "", false)
}

// testReplaceRace: of several that replace one value one does.
func testReplaceRace(t *testing.T, views []store.Shared) {
	old := "0"
	remembers(t, views[0], "k", old, long, old, true)
	for round := range 10 {
		var wg sync.WaitGroup
		did := make([]bool, len(views))
		next := func(i int) string { return fmt.Sprintf("%d by %d", round, i) }
		for i, v := range views {
			wg.Go(func() {
				var err error
				if did[i], err = v.Replace(t.Context(), "k", []byte(old), []byte(next(i)), long); err != nil {
					t.Errorf("Replace: %v", err)
				}
			})
		}
		wg.Wait()
		winners, winner := 0, 0
		for i := range views {
			if did[i] {
				winners, winner = winners+1, i
			}
		}
		if winners != 1 {
			t.Fatalf("%d views replaced one value", winners)
		}
		old = next(winner)
		remembers(t, views[0], "k", "x", long, old, false)
	}
}
