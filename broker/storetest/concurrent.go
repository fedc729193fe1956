package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// testContention: of several writers that raise one record, exactly one makes each
// generation.
func testContention(t *testing.T, s store.Store) {
	const writers, wins = 8, 10
	var (
		mu   sync.Mutex
		made = map[uint64]string{} // generation: who made it
		wg   sync.WaitGroup
	)
	for w := range writers {
		wg.Go(func() {
			for won := 0; won < wins; {
				old, err := s.Get(t.Context(), "k")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("Get: %v", err)
					return
				}
				who := fmt.Sprintf("writer %d, win %d", w, won)
				err = s.Put(t.Context(), set("k", old, who))
				if errors.Is(err, store.ErrConflict) {
					continue
				}
				if err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				won++
				mu.Lock()
				if other, taken := made[old.Generation+1]; taken {
					t.Errorf("generation %d was made by %s and by %s", old.Generation+1, other, who)
				}
				made[old.Generation+1] = who
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(made) != writers*wins {
		t.Errorf("%d generations for %d acknowledged writes", len(made), writers*wins)
	}
	holds(t, s, "k", rec(writers*wins, made[writers*wins]))
}

// testTransfers: writes of two records at once keep their sum, whatever happens in
// between, and no reader of one page sees half of one.
func testTransfers(t *testing.T, s store.Store) {
	const accounts, movers, moves = 6, 6, 8
	for i := range accounts {
		put(t, s, store.Write{Name: nameOf(i), Record: balance(1, 1000)})
	}
	var wg sync.WaitGroup
	for m := range movers {
		wg.Go(func() {
			for i := range moves {
				move(t, s, nameOf((m+i)%accounts), nameOf((m+2*i+1)%accounts))
			}
		})
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			checkSum(t, s, accounts*1000)
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	wg.Wait()
	close(stop)
	readers.Wait()
	checkSum(t, s, accounts*1000)
}

func balance(generation, n uint64) store.Record {
	return store.Record{Generation: generation, Sealed: binary.BigEndian.AppendUint64(nil, n)}
}

func checkSum(t *testing.T, s store.Store, want uint64) {
	page, err := s.List(t.Context(), "", "", 100)
	if err != nil {
		t.Errorf("List: %v", err)
		return
	}
	var sum uint64
	for _, n := range page {
		sum += binary.BigEndian.Uint64(n.Sealed)
	}
	if sum != want {
		t.Errorf("the sum is %d, want %d: a reader saw half of a write", sum, want)
	}
}

// move takes one from a and gives it to b, again until nobody is faster.
func move(t *testing.T, s store.Store, a, b string) {
	if a == b {
		return
	}
	for {
		from, errA := s.Get(t.Context(), a)
		to, errB := s.Get(t.Context(), b)
		if errA != nil || errB != nil {
			t.Errorf("Get: %v, %v", errA, errB)
			return
		}
		err := s.Put(t.Context(),
			store.Write{Name: a, Base: from.Version(), Record: balance(from.Generation+1, binary.BigEndian.Uint64(from.Sealed)-1)},
			store.Write{Name: b, Base: to.Version(), Record: balance(to.Generation+1, binary.BigEndian.Uint64(to.Sealed)+1)})
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("Put: %v", err)
			return
		}
	}
}

// testListWhileWriting: a walk by pages sees every record that was there all the
// time, in order, while others come and go.
func testListWhileWriting(t *testing.T, s store.Store) {
	var steady []store.Write
	for i := range 64 {
		steady = append(steady, set(nameOf(2*i), none, "steady"))
	}
	put(t, s, steady...)
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := range 32 {
				name := nameOf(4*i + 2*w + 1)
				if err := s.Put(t.Context(), set(name, none, "passing")); err != nil {
					t.Errorf("Put: %v", err)
				}
				if err := s.Put(t.Context(), remove(name, rec(1, "passing"))); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	for range 8 {
		var seen []string
		steadySeen := 0
		for _, n := range all(t, s, "", 5) {
			seen = append(seen, n.Name)
			if string(n.Sealed) == "steady" {
				steadySeen++
			}
		}
		if steadySeen != len(steady) || !slices.IsSorted(seen) {
			t.Errorf("a walk saw %d of %d records, in order: %t", steadySeen, len(steady), slices.IsSorted(seen))
		}
	}
	wg.Wait()
	if n := len(all(t, s, "", 100)); n != len(steady) {
		t.Errorf("%d records at the end, want %d", n, len(steady))
	}
}
