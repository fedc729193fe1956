package outbox_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

func TestRun_KeepsAMerchantsOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		failures := 3
		a.answerWith(func(_ context.Context, e *outbox.Event) error {
			if e.AppID == "m" && failures > 0 {
				failures--
				return errDown
			}
			return nil
		})
		r := newRig(t, memstore.Options{}, a)
		r.open()
		for n := range 3 {
			r.add("m", n)
		}
		r.start()
		synctest.Wait()
		r.add("other", 1) // does not wait for m
		synctest.Wait()
		a.mustHave(t, "other-1")
		time.Sleep(time.Minute)
		a.mustHave(t, "other-1", "m-0", "m-1", "m-2")
		r.stop()
	})
}

func TestRun_Backoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		r := newRig(t, memstore.Options{}, a)
		r.start()
		start := time.Now()
		r.add("m", 1)
		time.Sleep(25 * time.Hour)
		r.stop()
		tries := a.attempts()
		var want time.Duration
		for i, pause := range []time.Duration{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600} {
			want += pause * time.Second
			if got := tries[i].Sub(start); got != want {
				t.Errorf("attempt %d after %s, want %s", i, got, want)
			}
		}
		if last := tries[len(tries)-1].Sub(start); last < 24*time.Hour || last > 24*time.Hour+10*time.Minute {
			t.Errorf("the last attempt after %s", last)
		}
		r.mustStats(0, 1)
	})
}

// A target that hangs costs only its own events.
func TestRun_HangingTarget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		good, hangs := &app{name: "good"}, &app{name: "hangs"}
		hangs.answerWith(func(ctx context.Context, _ *outbox.Event) error { <-ctx.Done(); return ctx.Err() })
		r := newRig(t, memstore.Options{}, hangs, good)
		r.start()
		var want []string
		for n := range 100 {
			r.add("m", n)
			want = append(want, event("m", n).ID)
			r.add(event("x", n).ID, 1)
		}
		synctest.Wait()
		got := good.receipts()
		total := len(got)
		got = slices.DeleteFunc(got, func(id string) bool { return strings.HasPrefix(id, "x") })
		if !slices.Equal(got, want) || total != 200 {
			t.Errorf("the good target got %d events, those of m %v", total, got)
		}
		if n := len(hangs.attempts()); n != 8 {
			t.Errorf("%d attempts at once", n)
		}
		r.mustStats(200, 0)
		time.Sleep(11 * time.Second)
		if n := len(hangs.attempts()); n != 16 {
			t.Errorf("%d attempts in 11 seconds", n)
		}
		r.stop()
	})
}

func TestRun_Holds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		r := newRig(t, memstore.Options{}, a)
		var pending atomic.Bool
		pending.Store(true)
		r.opts.Hold = func(e *outbox.Event) bool { return e.AppID == "m" && pending.Load() }
		r.start()
		r.add("m", 1)
		r.add("m", 2)
		r.add("n", 1)
		time.Sleep(30 * time.Hour)
		a.mustHave(t, "n-1")
		pending.Store(false)
		time.Sleep(10 * time.Second)
		a.mustHave(t, "n-1", "m-1", "m-2")
		r.stop()
	})
}

// What was delivered and could not be saved is not delivered again, but saved.
func TestRun_StoreFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var broken atomic.Bool
		a := &app{name: "a"}
		r := newRig(t, memstore.Options{FailPut: func([]store.Write) error {
			if broken.Load() {
				return errors.New("disk full")
			}
			return nil
		}}, a)
		r.open()
		r.add("m", 1)
		broken.Store(true)
		r.start()
		time.Sleep(time.Hour)
		a.mustHave(t, "m-1")
		r.mustStats(1, 0)
		broken.Store(false)
		time.Sleep(10 * time.Minute)
		a.mustHave(t, "m-1")
		r.mustStats(0, 0)
		r.stop()
	})
}

// A dead letter whose write is in, and whose answer got lost.
func TestRun_LostAnswerOfADeadLetter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		puts := 0
		r := newRig(t, memstore.Options{LosePut: func([]store.Write) error {
			if puts++; puts == 2 {
				return errors.New("no answer")
			}
			return nil
		}}, a)
		r.start()
		r.add("m", 1)
		time.Sleep(25 * time.Hour)
		r.mustStats(0, 1)
		if n, err := r.box.Redeliver(t.Context()); n != 1 || err != nil {
			t.Errorf("Redeliver = %d, %v", n, err)
		}
		a.answerWith(nil)
		time.Sleep(time.Hour)
		a.mustHave(t, "m-1")
		r.mustStats(0, 0)
		r.stop()
	})
}

// Writes that are in, but whose answers got lost: every second one, from the second or the
// third on.
func TestRun_LostAnswers(t *testing.T) {
	f := func(first int) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			puts := 0
			a, b := &app{name: "a"}, &app{name: "b"}
			b.answerWith(down)
			r := newRig(t, memstore.Options{LosePut: func([]store.Write) error {
				if puts++; puts >= first && (puts-first)%2 == 0 {
					return errors.New("no answer")
				}
				return nil
			}}, a, b)
			r.start()
			r.add("m", 1)
			time.Sleep(time.Minute)
			a.mustHave(t, "m-1")
			b.answerWith(nil)
			time.Sleep(20 * time.Minute)
			b.mustHave(t, "m-1")
			r.mustStats(0, 0)
			r.stop()
		})
	}
	f(2)
	f(3)
}

// The pause of one event is none of the next one's.
func TestRun_BackoffBeginsAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		r := newRig(t, memstore.Options{}, a)
		r.start()
		r.add("m", 1)
		r.add("m", 2)
		time.Sleep(time.Hour)
		failures := 0
		a.answerWith(func(_ context.Context, e *outbox.Event) error {
			if e.ID == "m-2" && failures == 0 {
				failures++
				return errDown
			}
			return nil
		})
		time.Sleep(10*time.Minute + 5*time.Second)
		a.mustHave(t, "m-1", "m-2")
		r.stop()
	})
}

// Run grants a delivery under way two seconds.
func TestRun_Stops(t *testing.T) {
	f := func(takes, want time.Duration, got ...string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			a := &app{name: "a"}
			a.answerWith(func(ctx context.Context, _ *outbox.Event) error {
				select {
				case <-time.After(takes):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			r := newRig(t, memstore.Options{}, a)
			r.start()
			r.add("m", 1)
			synctest.Wait()
			start := time.Now()
			r.stop()
			if took := time.Since(start); took != want {
				t.Errorf("stopped after %s, want %s", took, want)
			}
			a.mustHave(t, got...)
			r.mustStats(1-len(got), 0)
		})
	}
	f(time.Second, time.Second, "m-1")
	f(5*time.Second, 2*time.Second)
}
