package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Three sidecars whose apps fail and hang, whose store fails, loses answers and is slow, that are
// killed, stopped and cut off: each event that one of them acknowledged reaches each app, and the first
// time in its merchant's order.
func TestShared_Simulation(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { simulateFleet(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func simulateFleet(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	chance := newChance(rand.New(rand.NewPCG(rnd.Uint64(), 0)))
	apps := unreliableApps(chance)
	f := newFleet(t, apps[0], apps[1])
	fails := func([]store.Write) error {
		if chance(15) == 0 {
			return errDown
		}
		return nil
	}
	slow := func(context.Context) error {
		time.Sleep(time.Duration(chance(30)) * time.Millisecond)
		return nil
	}
	levers := memstore.Options{Wait: slow, FailPut: fails, LosePut: func(writes []store.Write) error {
		_ = slow(t.Context()) // the answer is, and others hear of the write before
		return fails(writes)
	}}
	f.start(3, levers)
	living := []int{0, 1, 2}
	added := map[string][]string{} // by merchant
	for n := range 200 {
		e := event(fmt.Sprintf("m%d", rnd.IntN(5)), n)
		// WeChat sends again what was not acknowledged, to any sidecar, and sometimes what was.
		for f.members[living[rnd.IntN(3)]].Add(t.Context(), e) != nil || rnd.IntN(20) == 0 {
			time.Sleep(time.Second)
		}
		added[e.AppID] = append(added[e.AppID], e.ID)
		time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		i := rnd.IntN(3)
		m := f.members[living[i]]
		switch rnd.IntN(15) {
		case 0:
			m.kill()
			f.start(1, levers)
			living[i] = len(f.members) - 1
		case 1:
			m.stop()
			f.start(1, levers)
			living[i] = len(f.members) - 1
		case 2:
			m.view.Down(errDown)
			time.AfterFunc(time.Duration(rnd.IntN(60))*time.Second, func() { m.view.Down(nil) })
		}
	}
	time.Sleep(6 * time.Hour)
	f.mustAgree(0, 0, living...)
	mustHaveInOrder(t, apps, added)
}
