package outbox_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Whatever sidecar takes an event in, one delivers it, once and in the order of all Adds.
func TestShared_OneDelivers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &app{name: "a"}, &app{name: "b"}
		f := newFleet(t, a, b)
		f.start(3)
		for n := range 60 {
			f.add(n%3, "m", n)
		}
		synctest.Wait()
		a.mustHave(t, ids("m", 0, 59)...)
		b.mustHave(t, ids("m", 0, 59)...)
		f.mustAgree(0, 0, 0, 1, 2)
		deliver := 0
		for _, m := range f.members {
			if m.Delivers() {
				deliver++
			}
		}
		if deliver != 1 {
			t.Errorf("%d sidecars say that they deliver, want one", deliver)
		}
		time.Sleep(time.Hour)
		f.add(2, "m", 60)
		synctest.Wait()
		a.mustHave(t, ids("m", 0, 60)...)
	})
}

// An event is in the store before Add returns, and all know of it.
func TestShared_AddIsDurable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		f.start(3)
		f.add(1, "m", 1)
		if n := len(f.records()); n != 1 {
			t.Errorf("the store has %v", f.records())
		}
		f.mustAgree(1, 0, 0, 1, 2)
		a.answerWith(nil)
		time.Sleep(10 * time.Minute)
		a.mustHave(t, "m-1")
		f.mustAgree(0, 0, 0, 1, 2)
	})
}

func TestShared_AddStoreAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		f := newFleet(t, a)
		f.start(2)
		for i := range f.members {
			f.members[i].view.Down(errDown)
			if err := f.members[i].Add(t.Context(), event("m", 1)); !errors.Is(err, errDown) {
				t.Errorf("Add: %v, want %v", err, errDown)
			}
			if w, _, _ := f.members[i].Stats(); w != 0 {
				t.Errorf("%d events wait", w)
			}
		}
		time.Sleep(time.Hour)
		a.mustHave(t)
		f.members[0].view.Down(nil)
		f.members[1].view.Down(nil)
		f.add(1, "m", 1)
		time.Sleep(askAgain)
		a.mustHave(t, "m-1")
	})
}

// askAgain is within what the lease is taken once the store is back.
const askAgain = 5 * time.Second

// WeChat pushes again what it got no answer for, and a load balancer gives it to another sidecar.
func TestShared_Repeated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		f := newFleet(t, a)
		f.start(3)
		for i := range 6 { // also after it was delivered
			f.add(i%3, "m", 1)
			time.Sleep(time.Second)
		}
		a.mustHave(t, "m-1")
		a.answerWith(down)
		for i := range 6 { // and while it waits
			f.add(i%3, "m", 2)
			time.Sleep(time.Second)
		}
		f.mustAgree(1, 0, 0, 1, 2)
		a.answerWith(nil)
		time.Sleep(10 * time.Minute)
		a.mustHave(t, "m-1", "m-2")
		f.add(2, "m", 2)
		time.Sleep(20 * time.Hour)
		f.add(1, "m", 1)
		f.add(0, "m", 2)
		synctest.Wait()
		a.mustHave(t, "m-1", "m-2")
		f.mustAgree(0, 0, 0, 1, 2)
	})
}

// The same where the repeat comes while the event is delivered, and the app has it between any two
// operations of the store that the repeat makes.
func TestShared_RepeatedWhileDelivered(t *testing.T) {
	for before := range 5 {
		bubble(t, func(t *testing.T) {
			a := &app{name: "a"}
			f := newFleet(t, a)
			f.start(1)
			var operations atomic.Int64 // of the repeat, plus one; 0 before it
			goOn, answer := make(chan struct{}), make(chan struct{})
			f.start(1, memstore.Options{Wait: func(context.Context) error {
				if operations.Load() > 0 && operations.Add(1) == int64(before)+2 {
					<-goOn
				}
				return nil
			}})
			news := func() { <-goOn } // else it knows that the event waits
			f.members[1].newsWait.Store(&news)
			a.answerWith(func(context.Context, *outbox.Event) error { <-answer; return nil })
			f.add(0, "m", 1)
			synctest.Wait()
			operations.Store(1)
			var repeat sync.WaitGroup
			repeat.Go(func() { f.add(1, "m", 1) })
			synctest.Wait()
			close(answer)
			synctest.Wait()
			close(goOn)
			repeat.Wait()
			time.Sleep(time.Minute)
			a.mustHave(t, "m-1")
			f.mustAgree(0, 0, 0, 1)
		})
	}
}

func TestShared_RepeatedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		f := newFleet(t, a)
		slow := memstore.Options{Wait: func(context.Context) error { time.Sleep(20 * time.Millisecond); return nil }}
		f.start(3, slow)
		time.Sleep(time.Minute)
		for n := range 20 {
			var adds sync.WaitGroup
			for i := range f.members {
				adds.Go(func() { f.add(i, "m", n) })
			}
			adds.Wait()
		}
		time.Sleep(time.Minute)
		a.mustHave(t, ids("m", 0, 19)...)
		f.mustAgree(0, 0, 0, 1, 2)
	})
}

// The order is that of the Adds, however wrong the clocks are.
func TestShared_WrongClocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		for _, off := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
			f.opts.Now = func() time.Time { return time.Now().Add(off) }
			f.start(1)
		}
		for n := range 30 {
			f.add(n*2%3, "m", n)
		}
		f.members[0].kill() // and for the one that takes over
		a.answerWith(nil)
		time.Sleep(2 * takeover)
		a.mustHave(t, ids("m", 0, 29)...)
	})
}

// What others added before comes before, though the news of it comes late.
func TestShared_LateNews(t *testing.T) {
	f := func(add func(f *fleet)) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			a := &app{name: "a"}
			f := newFleet(t, a)
			f.start(2)
			late := func() { time.Sleep(time.Second) }
			f.members[0].newsWait.Store(&late)
			add(f)
			time.Sleep(time.Minute)
			a.mustHave(t, ids("m", 0, 19)...)
			f.mustAgree(0, 0, 0, 1)
		})
	}
	f(func(f *fleet) {
		for n := range 20 {
			f.add((n+1)%2, "m", n)
		}
	})
	f(func(f *fleet) {
		for n := range 20 {
			f.add(1, "m", n)
		}
		f.add(0, "m", 19) // the deliverer hears of these sooner than of those before
		f.add(0, "m", 10)
	})
}

// A repeat of what an app has had costs the deliverer a look at that one, not at all that wait.
func TestShared_RepeatOfWhatIsDone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		f := newFleet(t, a)
		var operations atomic.Int64
		f.start(1, memstore.Options{Wait: func(context.Context) error { operations.Add(1); return nil }})
		f.add(0, "m", 1)
		synctest.Wait()
		a.mustHave(t, "m-1")
		before := operations.Load()
		f.add(0, "m", 1)
		synctest.Wait()
		a.mustHave(t, "m-1")
		if n := operations.Load() - before; n > 3 { // is it there, is it done, is it there still
			t.Errorf("a repeat took %d operations of the store", n)
		}
	})
}

// A target that has an event does not get it from the next deliverer.
func TestShared_HadSurvives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &app{name: "a"}, &app{name: "b"}
		b.answerWith(down)
		f := newFleet(t, a, b)
		f.start(2)
		f.add(0, "m", 1)
		f.add(1, "m", 2)
		synctest.Wait()
		a.mustHave(t, "m-1", "m-2")
		f.members[0].kill()
		b.answerWith(nil)
		time.Sleep(takeover)
		a.mustHave(t, "m-1", "m-2")
		b.mustHave(t, "m-1", "m-2")
		f.mustAgree(0, 0, 1)
	})
}

// Each sidecar shows the dead letters, and any has them tried again, once.
func TestShared_DeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		f.start(3)
		for n := range 9 {
			f.add(n%3, "m", n)
		}
		time.Sleep(25 * time.Hour)
		f.mustAgree(0, 9, 0, 1, 2)
		f.start(1) // one that comes later
		f.mustAgree(0, 9, 3)
		a.answerWith(nil)
		var calls sync.WaitGroup
		for _, m := range f.members { // SIGHUP to all
			calls.Go(func() {
				for range 10 {
					_, err := m.Redeliver(t.Context())
					if err == nil {
						return
					}
					if !errors.Is(err, store.ErrConflict) {
						t.Errorf("Redeliver: %v", err)
					}
				}
			})
		}
		calls.Wait()
		time.Sleep(time.Minute)
		a.mustHaveFirst(t, "m", 0, ids("m", 0, 8)...)
		f.mustAgree(0, 0, 0, 1, 2, 3)
	})
}

// What is a dead letter and is pushed again waits once.
func TestShared_DeadLetterPushedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		f.start(2)
		f.add(0, "m", 1)
		time.Sleep(25 * time.Hour)
		f.add(1, "m", 1)
		f.mustAgree(1, 1, 0, 1)
		for _, m := range f.members {
			if _, err := m.Redeliver(t.Context()); err != nil {
				t.Errorf("Redeliver: %v", err)
			}
		}
		f.mustAgree(1, 0, 0, 1)
		a.answerWith(nil)
		time.Sleep(time.Hour)
		a.mustHave(t, "m-1")
	})
}

// The bound holds for all together, and gives room back on all.
func TestShared_Bound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		f.opts.Limit = 2000
		f.start(3)
		n := 0
		for ; n < 100; n++ {
			if err := f.members[n%3].Add(t.Context(), event("m", n)); errors.Is(err, outbox.ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if n < 3 || n > 10 {
			t.Fatalf("%d events of some 300 bytes are in 2000", n)
		}
		f.mustAgree(n, 0, 0, 1, 2)
		time.Sleep(25 * time.Hour)
		f.mustAgree(0, n, 0, 1, 2)
		f.add(1, "m", n) // in the place of the oldest dead letters
		synctest.Wait()
		_, dead, _ := f.members[0].Stats()
		if dead >= n || dead < n-3 {
			t.Errorf("%d of %d dead letters are left", dead, n)
		}
		f.mustAgree(1, dead, 0, 1, 2)
		a.answerWith(nil)
		time.Sleep(time.Hour)
		f.mustAgree(0, dead, 0, 1, 2)
		a.mustHave(t, event("m", n).ID)
	})
}

// A change of one sidecar's targets asks nothing of those that do not deliver.
func TestShared_Targets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		f := newFleet(t, a)
		f.start(2)
		f.add(1, "m", 1)
		synctest.Wait()
		moved := &app{name: "moved"}
		f.members[1].SetTargets([]outbox.Target{moved})
		time.Sleep(25 * time.Minute)
		moved.mustHave(t)
		f.members[0].SetTargets([]outbox.Target{moved})
		synctest.Wait()
		moved.mustHave(t, "m-1")
		f.mustAgree(0, 0, 0, 1)
	})
}
