package storetest

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// World is a shared store and what may happen to it.
type World struct {
	// Views are those of seven sidecars or more. All but the last get lost, start again and so on;
	// the last one looks at what is stored.
	Views []store.Shared
	// LeaseLife is how long a lease is asked for; no run takes so long.
	LeaseLife time.Duration
	// Expire ends the lease of a name. Its holder was paused and does not know.
	Expire func(name string)
	// NewFences says that no fence is given again even by a store that has lost that it gave it.
	NewFences bool
	// Empty empties the store.
	Empty func()
	// Save and Restore have the store lose what was written in between, as a failover may. Nil
	// where it cannot.
	Save, Restore func()
	// Lose, if it is there, breaks a view's connection at its next request: before that arrives,
	// or before its answer does. What it returns ends that. Without it requests and answers are
	// lost on this side.
	Lose func(view int, answer bool) (heal func())
}

// RunReplicas has three sidecars renew one record in that many random runs: they lock, read, call
// WeChat, write, amend, release and repair, while requests and answers are lost or late, leases
// end unnoticed, sidecars start again with nothing in memory, and the store loses some or all of
// what it had. After each step it holds that
//
//   - no record replaces one with a later generation, or with a later fence of the same;
//   - what was acknowledged is stored, until the store itself loses it;
//   - one commit of a generation is acknowledged, and only over what it was made from;
//   - one sidecar at a time has the lease, and each lease has a fence of its own;
//
// and when all has healed, that the sidecars agree, on nothing older than what one of them knew.
//
// A run that fails is shortened and printed with its seed.
func RunReplicas(t testing.TB, w World, runs int) {
	t.Helper()
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	defer func() { _ = checks.Value.Set(before) }() // it was taken from there
	if err := checks.Value.Set(strconv.Itoa(runs)); err != nil {
		t.Fatal(err)
	}
	run := 0
	// A test in a bubble has no deadline that one may ask for.
	rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
		run++
		newTrial(t, rt, w, fmt.Sprint("authorizer/", run)).run()
	})
	if run < runs {
		t.Errorf("%d runs in the place of %d", run, runs)
	}
}

const sidecars = 3

// trial is one run.
type trial struct {
	*rapid.T
	test     testing.TB // whose context is used
	world    World
	name     string
	wechat   int // how many tokens WeChat has given
	sidecars [sidecars]*sidecar
	late     []func() // requests that are still on their way
	healed   bool     // nothing goes wrong any more
	truth    truth
}

func newTrial(t testing.TB, rt *rapid.T, w World, name string) *trial {
	w.Empty()
	if w.Save != nil {
		w.Save()
	}
	tr := &trial{T: rt, test: t, world: w, name: name}
	for i := range tr.sidecars {
		tr.sidecars[i] = &sidecar{trial: tr, view: i}
	}
	tr.truth.lost(false, false)
	return tr
}

func (tr *trial) run() {
	actions := map[string]func(*rapid.T){
		"a late request arrives": tr.arrive,
		"a lease ends":           func(*rapid.T) { tr.world.Expire(tr.name); tr.truth.holder = nobody },
		"the store is emptied": func(rt *rapid.T) {
			tr.seldom(rt)
			tr.world.Empty()
			tr.truth.lost(false, tr.world.NewFences)
			tr.look()
		},
	}
	for what, act := range map[string]func(*sidecar){
		"lock": (*sidecar).lock, "lock and renew": (*sidecar).lockAndRenew, "read": (*sidecar).read, "renew": (*sidecar).renew, "amend": (*sidecar).amend,
		"put": (*sidecar).put, "put again": (*sidecar).put, "extend": (*sidecar).extend, "unlock": (*sidecar).unlock,
	} {
		actions[what] = func(rt *rapid.T) { act(tr.draw(rt)) }
	}
	actions["start again"] = func(rt *rapid.T) { tr.seldom(rt); tr.draw(rt).startAgain() }
	if tr.world.Restore != nil {
		actions["save"] = func(*rapid.T) { tr.world.Save() }
		actions["restore"] = func(rt *rapid.T) {
			tr.seldom(rt)
			tr.world.Restore()
			tr.truth.lost(true, tr.world.NewFences)
			tr.look()
		}
	}
	tr.Repeat(actions)
	tr.heal()
}

// seldom leaves most runs without what is worst.
func (tr *trial) seldom(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "worst") > 0 {
		rt.Skip()
	}
}

func (tr *trial) draw(rt *rapid.T) *sidecar {
	return tr.sidecars[rapid.IntRange(0, sidecars-1).Draw(rt, "sidecar")]
}

// arrive has a request that was late arrive; nobody waits for its answer.
func (tr *trial) arrive(rt *rapid.T) {
	if len(tr.late) == 0 {
		rt.Skip()
	}
	i := rapid.IntRange(0, len(tr.late)-1).Draw(rt, "request")
	request := tr.late[i]
	tr.late = append(tr.late[:i:i], tr.late[i+1:]...)
	request()
}

// look compares what is stored with what was.
func (tr *trial) look() {
	tr.Helper()
	got, err := tr.world.Views[len(tr.world.Views)-1].Get(tr.test.Context(), tr.name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		tr.Fatalf("looking: %v", err)
	}
	tr.truth.is(tr, got)
}

// heal has everything work again, and the sidecars come to an agreement.
func (tr *trial) heal() {
	tr.healed = true
	newest := store.Record{}
	for _, s := range tr.sidecars {
		if later(s.known, newest) {
			newest = s.known
		}
	}
	for range 2 {
		for _, s := range tr.sidecars {
			s.put()
			s.read()
			s.put()
			s.read()
		}
	}
	if later(newest, tr.truth.stored) {
		tr.Fatalf("%s is stored in the end, and a sidecar knew %s", show(tr.truth.stored), show(newest))
	}
	for i, s := range tr.sidecars {
		if show(s.known) != show(tr.truth.stored) {
			tr.Fatalf("sidecar %d knows %s in the end, and %s is stored", i, show(s.known), show(tr.truth.stored))
		}
	}
	tr.world.Expire(tr.name)
	tr.truth.holder = nobody
	generation := tr.truth.stored.Generation
	tr.sidecars[0].lockAndRenew()
	tr.sidecars[0].put()
	if tr.truth.stored.Generation != generation+1 {
		tr.Fatalf("no renewal after all has healed: %s is stored", show(tr.truth.stored))
	}
}

// later orders records of one name: by generation, then by fence.
func later(a, b store.Record) bool {
	return a.Generation > b.Generation || a.Generation == b.Generation && a.Fence > b.Fence
}

func show(r store.Record) string {
	return fmt.Sprintf("generation %d, fence %d, %q", r.Generation, r.Fence, r.Sealed)
}
