package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Apps that fail and hang, a store that fails, and a process that ends at any point, the
// state of its memory lost: each event that was acknowledged reaches each app, and the first time in
// its merchant's order.
func TestSimulation(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { simulate(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func simulate(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	var dead atomic.Bool // the process is: nothing of its reaches the store
	chance := newChance(rand.New(rand.NewPCG(rnd.Uint64(), 0)))
	apps := unreliableApps(chance)
	r := newRig(t, memstore.Options{FailPut: func([]store.Write) error {
		if dead.Load() || chance(10) == 0 {
			return errors.New("the write was lost")
		}
		return nil
	}}, apps[0], apps[1])
	r.start()
	added := map[string][]string{} // by merchant
	for n := range 200 {
		e := event(fmt.Sprintf("m%d", rnd.IntN(5)), n)
		for r.box.Add(t.Context(), e) != nil { // WeChat sends again what was not acknowledged
			time.Sleep(time.Second)
		}
		added[e.AppID] = append(added[e.AppID], e.ID)
		time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		if rnd.IntN(10) == 0 {
			dead.Store(true)
			r.stop()
			dead.Store(false)
			r.start()
		}
	}
	time.Sleep(6 * time.Hour)
	r.stop()
	r.mustStats(0, 0)
	mustHaveInOrder(t, apps, added)
}

// unreliableApps are two that fail and hang by chance.
func unreliableApps(chance func(n int) int) []*app {
	apps := []*app{{name: "a"}, {name: "b"}}
	for _, a := range apps {
		a.answerWith(func(ctx context.Context, _ *outbox.Event) error {
			switch chance(10) {
			case 0, 1:
				return errDown
			case 2:
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
	}
	return apps
}

// mustHaveInOrder checks that each app got what was added of each merchant, and the first time in
// the order of the Adds.
func mustHaveInOrder(t *testing.T, apps []*app, added map[string][]string) {
	t.Helper()
	for _, a := range apps {
		got := a.receipts()
		for merchant, want := range added {
			if first := firsts(got, merchant); !slices.Equal(first, want) {
				t.Errorf("%s got of %s\n%v, want\n%v", a.name, merchant, first, want)
			}
		}
	}
}

// newChance returns a function for a number below n, for several goroutines.
func newChance(rnd *rand.Rand) func(n int) int {
	lock := make(chan *rand.Rand, 1)
	lock <- rnd
	return func(n int) int {
		r := <-lock
		defer func() { lock <- r }()
		return r.IntN(n)
	}
}

// firsts returns the first receipts of one merchant's events.
func firsts(got []string, merchant string) []string {
	var first []string
	for _, id := range got {
		if len(id) > len(merchant) && id[:len(merchant)+1] == merchant+"-" && !slices.Contains(first, id) {
			first = append(first, id)
		}
	}
	return first
}
