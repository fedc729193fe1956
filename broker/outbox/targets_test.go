package outbox_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
)

// An app that moved gets at its new URL what it has not got, and only that.
func TestSetTargets_Moved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, stays, moved := &app{name: "old"}, &app{name: "stays"}, &app{name: "new"}
		r := newRig(t, memstore.Options{}, old, stays)
		r.start()
		defer func() { r.stop() }()
		r.add("m", 1)
		synctest.Wait()
		old.answerWith(down)
		r.add("m", 2)
		synctest.Wait()
		r.box.SetTargets([]outbox.Target{moved, stays})
		synctest.Wait()
		old.mustHave(t, "m-1")
		moved.mustHave(t, "m-2")
		stays.mustHave(t, "m-1", "m-2")
		r.mustStats(0, 0)
	})
}

// Without any target events wait, first for one, and then as dead letters.
func TestSetTargets_None(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		r := newRig(t, memstore.Options{}, a)
		r.start()
		defer func() { r.stop() }()
		r.add("m", 1)
		synctest.Wait()
		r.box.SetTargets(nil)
		time.Sleep(23 * time.Hour)
		r.mustStats(1, 0)
		a.answerWith(nil)
		r.box.SetTargets([]outbox.Target{a})
		time.Sleep(10 * time.Minute)
		a.mustHave(t, "m-1")
		a.answerWith(down)
		r.add("m", 2)
		synctest.Wait()
		r.box.SetTargets(nil)
		time.Sleep(25 * time.Hour)
		r.mustStats(0, 1)
	})
}

// What one target has had is over when the others are gone.
func TestSetTargets_TheRestIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, gone := &app{name: "a"}, &app{name: "gone"}
		gone.answerWith(down)
		r := newRig(t, memstore.Options{}, a, gone)
		r.start()
		defer func() { r.stop() }()
		r.add("m", 1)
		synctest.Wait()
		r.box.SetTargets([]outbox.Target{a})
		time.Sleep(time.Minute)
		synctest.Wait()
		a.mustHave(t, "m-1")
		r.mustStats(0, 0)
	})
}

// A change of targets during an attempt takes neither the event nor its place in the order.
func TestSetTargets_DuringAnAttempt(t *testing.T) {
	f := func(outcome error) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			a := &app{name: "a"}
			a.answerWith(func(context.Context, *outbox.Event) error { time.Sleep(5 * time.Second); return outcome })
			r := newRig(t, memstore.Options{}, a)
			r.start()
			defer func() { r.stop() }()
			r.add("m", 1)
			r.add("m", 2)
			synctest.Wait()
			r.box.SetTargets(nil)
			r.box.SetTargets([]outbox.Target{a})
			synctest.Wait()
			if n := len(a.attempts()); n != 1 {
				t.Errorf("%d attempts of one merchant at once", n)
			}
			time.Sleep(5 * time.Second)
			a.answerWith(nil)
			time.Sleep(20 * time.Second)
			a.mustHave(t, "m-1", "m-2")
			r.mustStats(0, 0)
		})
	}
	f(nil)
	f(errDown)
}

// Two targets of one name are one app.
func TestSetTargets_OneName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a", wants: func(e *outbox.Event) bool { return e.AppID == "m" }}
		again := &app{name: "a"}
		r := newRig(t, memstore.Options{}, a, again)
		r.start()
		defer func() { r.stop() }()
		r.add("m", 1)
		r.add("n", 1)
		synctest.Wait()
		a.mustHave(t, "m-1")
		again.mustHave(t, "n-1")
	})
}
