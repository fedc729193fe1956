package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
)

// How long after the death of a sidecar another may take over: the lease of a token of twelve seconds,
// or of an exchange, and five seconds.
const (
	renewalTakeover  = 2*time.Second + 5*time.Second
	exchangeTakeover = 15*time.Second + 5*time.Second
)

// TestReplicas_RenewerKilled ends the sidecar that renews, or takes a push in, at each named point.
// Another takes over, nothing is lost, and the others' calls go on. The one that died comes back.
func TestReplicas_RenewerKilled(t *testing.T) {
	t.Parallel()
	w := newReplicaWorld(t, replicaOptions{
		Replicas: 3, Merchants: 10, Life: 12 * time.Second, Overlap: 4 * time.Second, Checkpoints: true,
		Store: redistest.Start(t, redistest.Options{}).URL(),
	})
	rounds := 1
	if nightly() {
		rounds = 20
	}
	for range rounds {
		for i, point := range slices.Concat(renewalPoints, pushPoints) {
			w.killAt(point, w.merchants[i%10]) // a lease of the round before is another's
		}
	}
	if v := w.sim.Violations(); len(v) != 0 {
		t.Errorf("WeChat saw what it never should: %s", strings.Join(v, "; "))
	}
}

// killAt has a replica end at the point, under load of the others.
func (w *replicaWorld) killAt(point, victim string) {
	t, mortal := w.t, w.replicas[:1]
	t.Helper()
	if strings.HasPrefix(point, "exchange-") {
		mortal = w.replicas // any may make it
	}
	for _, r := range mortal {
		if p := r.running(); p != nil {
			p.kill()
		}
		r.start("CRASH_AT="+point, "CRASH_WHEN="+r.armed())
	}
	w.awaitAll()
	before := w.sim.CallsFor(authorizerTokenPath, victim)
	load := w.startLoad(4, 10*time.Millisecond, slices.DeleteFunc(w.accounts(), func(appID string) bool { return appID == victim }))
	for _, r := range mortal {
		r.arm()
	}
	appID := w.provoke(point, victim)
	dead := w.awaitDeath(point, mortal)
	died := time.Now()
	for _, r := range mortal {
		r.disarm()
	}
	for _, r := range w.replicas {
		if r != dead {
			w.awaitServed(r.process.Load(), appID)
		}
	}
	took := time.Since(died)
	load.end()
	calls := w.sim.CallsFor(authorizerTokenPath, victim) - before
	t.Logf("%-18s taken over after %s; %d token calls", point, took.Round(time.Millisecond), calls)
	limit := renewalTakeover
	if appID != victim {
		limit = exchangeTakeover
	}
	if took > limit {
		t.Errorf("%s: the others served it %s after the death; want %s", point, took, limit)
	}
	if calls > 3 { // the one that died, the one that took over, and the one that may just have been due
		t.Errorf("%s: %d token calls for one merchant", point, calls)
	}
	dead.start() // what it was is behind it
}

// awaitDeath returns the first of the replicas that ends.
func (w *replicaWorld) awaitDeath(point string, mortal []*replicaNode) (dead *replicaNode) {
	w.t.Helper()
	awaitFor(w.t, patience, "a replica comes to "+point, func() bool {
		for _, r := range mortal {
			if r.running() == nil {
				dead = r
			}
		}
		return dead != nil
	})
	return dead
}

// provoke leads the first replica to the point, and returns the account that it is about.
func (w *replicaWorld) provoke(point, victim string) string {
	switch {
	case strings.HasPrefix(point, "renewal-"):
		w.sim.Displace(victim)
		_ = w.replicas[0].process.Load().call(victim) // the program ends amid it
		return victim
	case strings.HasPrefix(point, "exchange-"):
		appID := fmt.Sprintf("wxb%015x", len(w.merchants))
		code := w.sim.Authorize(replicaComponent, appID)
		w.nextPushTo(0)
		if err := w.sim.Push(w.t.Context(), replicaComponent, w.sim.AuthorizedEvent(appID, code, false)); err != nil {
			w.t.Errorf("%s: the authorization was not taken: %v", point, err)
		}
		w.merchants = append(w.merchants, appID)
		return appID
	default:
		w.nextPushTo(0)
		if err := w.sim.PushTicket(w.t.Context(), replicaComponent); err != nil {
			w.t.Errorf("%s: the ticket was not taken: %v", point, err)
		}
		return victim
	}
}

// TestReplicas_RollingRestart restarts all replicas one after another under load: no call fails.
func TestReplicas_RollingRestart(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, redistest.Options{})
	w := newReplicaWorld(t, replicaOptions{
		Replicas: 3, Merchants: 10, Life: 6 * time.Second, Overlap: 2 * time.Second, Store: redis.URL(),
	})
	w.awaitAll()
	run := 15 * time.Second
	if nightly() {
		run = 10 * time.Minute
	}
	load := w.startLoad(8, 5*time.Millisecond, w.accounts())
	since := time.Now()
	restarts := 0
	for ; time.Since(since) < run; restarts += len(w.replicas) {
		for _, r := range w.replicas {
			if err := r.running().stop(); err != nil {
				t.Errorf("replica %d ended with %v", r.n, err)
			}
			r.start()
			w.awaitAll()
		}
	}
	calls := load.end()
	r := w.renewals(since)
	t.Logf("%d restarts, %d calls, %d renewals, %d of them too many", restarts, calls, r.total, r.surplus)
	if r.total == 0 || float64(r.total) > renewTooOften*float64(r.total-r.surplus) {
		t.Errorf("%d renewals where one sidecar would make %d", r.total, r.total-r.surplus)
	}
}

// TestReplicas_KilledAtRandom ends replicas with kill -9 again and again while tokens are renewed.
func TestReplicas_KilledAtRandom(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, redistest.Options{})
	w := newReplicaWorld(t, replicaOptions{
		Replicas: 3, Merchants: 10, Life: 12 * time.Second, Overlap: 4 * time.Second, Store: redis.URL(),
	})
	w.awaitAll()
	kills := 6
	if nightly() {
		kills = 300
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	since := time.Now()
	load := w.startLoad(8, 10*time.Millisecond, w.accounts())
	w.awaitAge(0.6) // renewals begin amid the kills
	for range kills {
		load.awaitCalls(200 + rnd.IntN(600))
		r := w.replicas[rnd.IntN(len(w.replicas))]
		r.running().kill()
		r.start()
	}
	w.awaitAll()
	calls := load.end()
	r := w.renewals(since)
	t.Logf("%d kills, %d calls, %d of them cut by a kill, %d renewals", kills, calls, load.cut, r.total)
	if r.total == 0 {
		t.Error("nothing was renewed: the trial shows nothing")
	}
	if v := w.sim.Violations(); len(v) != 0 {
		t.Errorf("WeChat saw what it never should: %s", strings.Join(v, "; "))
	}
}
