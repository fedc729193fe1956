package proxy

import (
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// A call reads its account's slot, which with many is in no cache of the processor: it is one line.
func TestSlot_Size(t *testing.T) {
	if size := unsafe.Sizeof(slot{}); size != 64 {
		t.Errorf("%d bytes", size)
	}
}

// Of appids with one hash, whatever their length, each has a slot and calls of its own.
func TestInflight_KeepsAppIDsOfOneHashApart(t *testing.T) {
	i := newInflight(Limits{MaxInflight: 10, MaxInflightPerAccount: 2})
	names := []string{"wx0123456789abcdef", "wx0123456789abcde", "wx0123456789abcdee", "wx0123456789abcdef0", strings.Repeat("x", 300)}
	var before *slot
	for _, name := range names {
		i.slots[maphash.String(hashSeed, name)] = before // as if the others had this hash
		if s := i.find([]byte(name)); s != nil {
			t.Fatalf("%s has the slot of %s", name, s.appid)
		}
		s, f := i.acquireAccount(name, nil)
		if f != nil {
			t.Fatalf("%s: %v", name, f)
		}
		if s == before || s.appid != name || s.n.Load() != 1 {
			t.Fatalf("%s is counted for %s", name, s.appid)
		}
		before = s
	}
	last := maphash.String(hashSeed, names[len(names)-1])
	for _, name := range names {
		i.slots[maphash.String(hashSeed, name)] = before
		s := i.find([]byte(name))
		if s == nil || s.appid != name || s != i.slotOf(name) || s.n.Load() != 1 {
			t.Fatalf("%s has another slot", name)
		}
		if name, found := i.intern([]byte(name)); found != s || name != s.appid {
			t.Errorf("%s is not interned", name)
		}
	}
	i.slots = map[uint64]*slot{last: before}
	i.find([]byte(names[len(names)-1])).n.Add(-1)
	if got := i.fullest(); got != 0.5 {
		t.Errorf("the fullest of all is %v", got)
	}
}

// New accounts come while the fullest is looked for, among more than are looked at without a pause.
func TestInflight_FullestWhileAccountsCome(t *testing.T) {
	i := newInflight(Limits{MaxInflight: 10, MaxInflightPerAccount: 4})
	for n := range 3 * walkPart {
		i.slotOf(strconv.Itoa(n))
	}
	busy, f := i.acquireAccount("0", nil)
	if f != nil {
		t.Fatal(f)
	}
	busy.n.Add(2)
	var come sync.WaitGroup
	come.Go(func() {
		for n := range 3 * walkPart {
			i.slotOf("new " + strconv.Itoa(n))
		}
	})
	for range 20 {
		if got := i.fullest(); got != 0.75 {
			t.Errorf("the fullest of all is %v", got)
		}
	}
	come.Wait()
}
