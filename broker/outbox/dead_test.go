package outbox_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// deadRig returns a rig in which the event m-1 is a dead letter.
func deadRig(t *testing.T, a *app) *rig {
	t.Helper()
	a.answerWith(down)
	r := newRig(t, memstore.Options{}, a)
	r.start()
	r.add("m", 1)
	time.Sleep(25 * time.Hour)
	r.mustStats(0, 1)
	return r
}

func TestDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		r := deadRig(t, a)
		defer func() { r.stop() }()
		check := func() {
			t.Helper()
			list := r.box.DeadLetters()
			if len(list) != 1 {
				t.Fatalf("dead letters: %v", list)
			}
			if d := list[0]; d.ID != "m-1" || d.AppID != "m" || d.Reason != errDown.Error() || d.Died.Sub(d.Added) < 24*time.Hour || !d.Text.IsZero() {
				t.Errorf("dead letter: %+v", d)
			}
		}
		check()
		r.stop()
		r.start() // it is kept
		check()
		tries := len(a.attempts())
		time.Sleep(time.Hour)
		if n := len(a.attempts()); n != tries {
			t.Errorf("%d attempts for a dead letter", n-tries)
		}
	})
}

func TestRedeliver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		r := deadRig(t, a)
		defer func() { r.stop() }()
		if n, err := r.box.Redeliver(t.Context()); n != 1 || err != nil {
			t.Errorf("Redeliver = %d, %v", n, err)
		}
		synctest.Wait()
		time.Sleep(23 * time.Hour) // it is as patient as with a new one
		r.mustStats(1, 0)
		a.answerWith(nil)
		time.Sleep(time.Hour)
		a.mustHave(t, "m-1")
		r.mustStats(0, 0)
	})
}

// An answer that is lost on the way keeps neither this dead letter nor those after it.
func TestRedeliver_LostAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		lost := false
		r := newRig(t, memstore.Options{LosePut: func([]store.Write) error {
			if lost {
				lost = false
				return errors.New("no answer")
			}
			return nil
		}}, a)
		r.start()
		r.add("m", 1)
		r.add("n", 1)
		time.Sleep(25 * time.Hour)
		r.mustStats(0, 2)
		a.answerWith(nil)
		lost = true
		if n, err := r.box.Redeliver(t.Context()); n != 0 || err == nil {
			t.Errorf("Redeliver = %d, %v", n, err)
		}
		if _, err := r.box.Redeliver(t.Context()); err != nil {
			t.Errorf("Redeliver: %v", err)
		}
		synctest.Wait()
		a.mustHave(t, "n-1")
		r.stop()
		r.start()
		synctest.Wait()
		a.mustHave(t, "n-1", "m-1")
		r.mustStats(0, 0)
		r.stop()
	})
}

// WeChat may push again what is a dead letter.
func TestRedeliver_PushedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		r := deadRig(t, a)
		defer func() { r.stop() }()
		r.add("m", 1)
		if _, err := r.box.Redeliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.answerWith(nil)
		time.Sleep(time.Hour)
		a.mustHave(t, "m-1")
		r.mustStats(0, 0)
	})
}

func TestAdd_Bound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		r := newRig(t, memstore.Options{}, a)
		r.opts.Limit = 2000
		r.start()
		defer func() { r.stop() }()
		n := 0
		for ; n < 100; n++ {
			err := r.box.Add(t.Context(), event("m", n))
			if errors.Is(err, outbox.ErrFull) && strings.Contains(err.Error(), "limits.outbox") {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if n < 3 || n > 10 {
			t.Fatalf("%d events of some 300 bytes are in 2000", n)
		}
		r.mustStats(n, 0)
		r.stop()
		r.start() // what it has is counted
		if err := r.box.Add(t.Context(), event("m", n)); !errors.Is(err, outbox.ErrFull) {
			t.Errorf("Add after a restart: %v", err)
		}
		a.answerWith(nil)
		time.Sleep(time.Hour)
		r.mustStats(0, 0)
		r.add("m", n) // and gives its room back
	})
}

// Dead letters make room, with a line each; what waits never does.
func TestAdd_DeadLettersMakeRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		r := newRig(t, memstore.Options{}, a)
		var log bytes.Buffer
		r.opts.Limit, r.opts.Log = 2000, slog.New(slog.NewTextHandler(&log, nil))
		r.start()
		r.add("m", 1)
		r.add("m", 2)
		time.Sleep(50 * time.Hour)
		r.mustStats(0, 2)
		for n := 3; ; n++ {
			if err := r.box.Add(t.Context(), event("m", n)); errors.Is(err, outbox.ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		waiting, dead, _ := r.box.Stats()
		if dead != 0 || waiting < 3 {
			t.Errorf("%d wait, %d are dead", waiting, dead)
		}
		r.mustStats(waiting, 0)
		r.stop()
		for _, id := range []string{"m-1", "m-2"} {
			if !strings.Contains(log.String(), `msg="a dead letter is dropped to make room for newer events" event=`+id) {
				t.Errorf("nothing says that %s is dropped:\n%s", id, log.String())
			}
		}
	})
}

// One is queued again, and the others stay.
func TestRedeliverOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		a.answerWith(down)
		r := newRig(t, memstore.Options{}, a)
		r.start()
		defer func() { r.stop() }()
		r.add("m", 1)
		r.add("m", 2)
		r.add("n", 3)
		time.Sleep(50 * time.Hour)
		r.mustStats(0, 3)
		a.answerWith(nil)
		f := func(id string, want bool) {
			t.Helper()
			if found, err := r.box.RedeliverOne(t.Context(), id); found != want || err != nil {
				t.Errorf("%s: %t, %v", id, found, err)
			}
		}
		f("m-2", true)
		f("m-2", false)
		f("x", false)
		synctest.Wait()
		a.mustHave(t, "m-2")
		r.mustStats(0, 2)
	})
}
