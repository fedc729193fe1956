package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// A sidecar that is stopped in order hands over within seconds, and nothing comes twice.
func TestTakeover_Stopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(func(context.Context, *outbox.Event) error { time.Sleep(time.Second); return nil })
		f := newFleet(t, a)
		f.start(3)
		for n := range 10 {
			f.add(n%3, "m", n)
		}
		time.Sleep(1500 * time.Millisecond)
		f.members[0].stop()
		if waiting := len(f.records()); waiting != 8 {
			t.Errorf("%d events wait", waiting)
		}
		time.Sleep(13500 * time.Millisecond)
		a.mustHave(t, ids("m", 0, 9)...)
		f.mustAgree(0, 0, 1, 2)
	})
}

// One sidecar says that it delivers, also while it alone is left.
func TestTakeover_Metric(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t, &app{name: "a"})
		var all []*metrics.Metrics
		for range 3 {
			f.opts.Metrics = metrics.New("test")
			all = append(all, f.opts.Metrics)
			f.start(1)
		}
		says := func(want ...float64) {
			t.Helper()
			for i, m := range all {
				if got := deliverer(t, m); got != want[i] {
					t.Errorf("sidecar %d: wxsidecar_outbox_deliverer is %v, want %v", i, got, want[i])
				}
			}
		}
		says(1, 0, 0)
		f.members[0].stop()
		time.Sleep(askAgain)
		if sum := deliverer(t, all[1]) + deliverer(t, all[2]); deliverer(t, all[0]) != 0 || sum != 1 {
			t.Errorf("one stopped, and %v of the others deliver", sum)
		}
		f.members[1].stop()
		time.Sleep(askAgain)
		says(0, 0, 1)
	})
}

func deliverer(t *testing.T, m *metrics.Metrics) float64 {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "wxsidecar_outbox_deliverer" {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("there is no wxsidecar_outbox_deliverer")
	return 0
}

// Restarts of all, one after the other, while events come: each is delivered once.
func TestTakeover_RollingRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		f := newFleet(t, a)
		f.start(3)
		n := 0
		for range 6 {
			for range 20 {
				f.add(len(f.members)-1-n%3, "m", n)
				n++
				time.Sleep(100 * time.Millisecond)
			}
			f.start(1)
			f.members[len(f.members)-4].stop()
		}
		time.Sleep(10 * time.Second)
		a.mustHave(t, ids("m", 0, n-1)...)
		last := len(f.members) - 1
		f.mustAgree(0, 0, last, last-1, last-2)
	})
}

// The deliverer dies: at each point another goes on within the lease and five seconds, in order, and
// at most what was under way comes twice.
func TestTakeover_Killed(t *testing.T) {
	f := func(point string, twice int, die func(t *testing.T, f *fleet, a *app)) {
		t.Run(point, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := &app{name: "a"}
				f := newFleet(t, a)
				f.start(3)
				f.add(1, "m", 0)
				synctest.Wait()
				a.answerWith(down)
				f.add(2, "m", 1) // it waits for its second attempt
				synctest.Wait()
				a.answerWith(nil)
				die(t, f, a)
				for n := 3; n < 6; n++ {
					f.add(1+n%2, "m", n)
				}
				time.Sleep(takeover)
				a.mustHaveFirst(t, "m", twice, ids("m", 0, 5)...)
				f.mustAgree(0, 0, 1, 2)
			})
		})
	}
	// onAttempt has the next attempt kill the deliverer, and then answer.
	onAttempt := func(f *fleet, a *app, answer error) {
		var once atomic.Bool
		a.answerWith(func(context.Context, *outbox.Event) error {
			if once.CompareAndSwap(false, true) {
				f.members[0].kill()
				return answer
			}
			return nil
		})
	}
	f("while it waits", 0, func(t *testing.T, f *fleet, _ *app) {
		f.members[0].kill()
		f.add(1, "m", 2)
	})
	f("before the app has it", 0, func(t *testing.T, f *fleet, a *app) {
		f.add(1, "m", 2)
		onAttempt(f, a, errDown)
		time.Sleep(time.Second)
	})
	f("after the app has it", 1, func(t *testing.T, f *fleet, a *app) {
		f.add(1, "m", 2)
		onAttempt(f, a, nil)
		time.Sleep(time.Second)
	})
	deathOf := func(m *member) *func() error {
		die := func() error { m.kill(); return errDead }
		return &die
	}
	f("before the record is gone", 1, func(t *testing.T, f *fleet, _ *app) {
		f.add(1, "m", 2)
		f.members[0].beforePut.Store(deathOf(f.members[0]))
		time.Sleep(time.Second)
	})
	f("after the record is gone", 0, func(t *testing.T, f *fleet, _ *app) {
		f.add(1, "m", 2)
		f.members[0].afterPut.Store(deathOf(f.members[0]))
		time.Sleep(time.Second)
	})
	again := func(t *testing.T, f *fleet) {
		t.Helper()
		if err := f.members[0].Add(t.Context(), event("m", 2)); !errors.Is(err, errDead) {
			t.Fatalf("Add: %v, want %v", err, errDead)
		}
		f.add(1, "m", 2) // WeChat pushes again
	}
	f("before an Add is in", 0, func(t *testing.T, f *fleet, _ *app) {
		f.members[0].beforePut.Store(deathOf(f.members[0]))
		again(t, f)
	})
	f("after an Add is in", 0, func(t *testing.T, f *fleet, _ *app) {
		f.members[0].afterPut.Store(deathOf(f.members[0]))
		again(t, f)
	})
}

// A deliverer that is cut off stops before another begins, and goes on as one of the others.
func TestTakeover_CutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var running, most atomic.Int32
		a := &app{name: "a"}
		slow := func(context.Context, *outbox.Event) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(3 * time.Second)
			return nil
		}
		a.answerWith(slow)
		f := newFleet(t, a)
		f.start(3)
		for n := range 30 {
			f.add(1+n%2, "m", n)
		}
		time.Sleep(4 * time.Second)
		f.members[0].view.Down(errDown)
		time.Sleep(10 * time.Minute)
		// It may have gone on with what it knew, as long as it surely held the lease.
		a.mustHaveFirst(t, "m", 4, ids("m", 0, 29)...)
		if n := most.Load(); n != 1 {
			t.Errorf("%d attempts of one merchant at once", n)
		}
		f.mustAgree(0, 0, 1, 2)
		had := len(a.attempts())
		f.members[0].view.Down(nil)
		time.Sleep(time.Minute)
		f.mustAgree(0, 0, 0, 1, 2)
		if n := len(a.attempts()) - had; n != 0 {
			t.Errorf("%d attempts for what was delivered", n)
		}
		f.add(0, "m", 30)
		time.Sleep(time.Minute)
		a.mustHaveFirst(t, "m", 4, ids("m", 0, 30)...)
	})
}

// While the store is away for all, nothing is attempted but while the lease surely lasts.
func TestTakeover_StoreAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		f.start(2)
		for n := range 300 { // so that an attempt is due every other second
			f.add(1, fmt.Sprint("m", n), 1)
			time.Sleep(2 * time.Second)
		}
		time.Sleep(time.Hour)
		for _, m := range f.members {
			m.view.Down(errDown)
		}
		began := time.Now()
		time.Sleep(3 * time.Hour)
		for _, at := range a.attempts() {
			if after := at.Sub(began); after > 10*time.Second {
				t.Errorf("an attempt %s after the store went away", after)
			}
		}
		a.answerWith(nil)
		for _, m := range f.members {
			m.view.Down(nil)
		}
		time.Sleep(11 * time.Minute)
		if n := len(a.receipts()); n != 300 {
			t.Errorf("the app got %d events, want 300", n)
		}
		f.mustAgree(0, 0, 0, 1)
	})
}

// A store that was emptied gets back what any of the sidecars knows.
func TestTakeover_Emptied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &app{name: "a"}, &app{name: "b"}
		b.answerWith(down)
		f := newFleet(t, a, b)
		f.start(3)
		for n := range 5 {
			f.add(n%3, "m", n)
		}
		synctest.Wait()
		a.mustHave(t, ids("m", 0, 4)...)
		f.store.Empty()
		f.mustAgree(5, 0, 0, 1, 2)
		f.members[0].kill()
		b.answerWith(nil)
		time.Sleep(takeover)
		a.mustHave(t, ids("m", 0, 4)...)
		b.mustHave(t, ids("m", 0, 4)...)
		f.mustAgree(0, 0, 1, 2)
		f.add(1, "m", 5)
		time.Sleep(time.Second)
		b.mustHave(t, ids("m", 0, 5)...)
	})
}

// A failover loses the store's last writes: what the deliverer knows to wait is put back.
func TestTakeover_LostWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		f.start(2)
		f.add(0, "m", 1)
		f.add(1, "m", 2)
		synctest.Wait()
		for _, m := range f.members {
			m.view.Down(errDown)
		}
		for _, name := range f.records() {
			rec, err := f.store.Get(t.Context(), name)
			if err == nil {
				err = f.store.Put(t.Context(), store.Write{Name: name, Base: rec.Version()})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range f.members {
			m.view.Down(nil)
		}
		f.mustAgree(2, 0, 0, 1)
		a.answerWith(nil)
		time.Sleep(time.Minute)
		a.mustHave(t, "m-1", "m-2")
		f.mustAgree(0, 0, 0, 1)
	})
}

// What a store of one sidecar was migrated to goes on, and is not added again.
func TestShared_MigratedRecords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		alone := &rig{t: t, store: f.store, opts: f.opts}
		alone.opts.Store = f.store
		alone.open()
		for n := range 3 {
			alone.add("m", n)
			time.Sleep(time.Second)
		}
		f.start(2)
		f.add(1, "m", 1)
		f.add(1, "m", 3)
		f.mustAgree(4, 0, 0, 1)
		for _, name := range f.records()[:3] {
			if !strings.HasPrefix(name, "outbox/waiting/0") {
				t.Errorf("record %s", name)
			}
		}
		a.answerWith(nil)
		time.Sleep(time.Minute)
		a.mustHave(t, ids("m", 0, 3)...)
		f.mustAgree(0, 0, 0, 1)
	})
}
