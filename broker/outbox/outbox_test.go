package outbox_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

func TestAdd_Delivers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &app{name: "a"}, &app{name: "b", wants: func(e *outbox.Event) bool { return e.AppID == "other" }}
		r := newRig(t, memstore.Options{}, a, b)
		r.start()
		r.add("m", 1)
		synctest.Wait()
		a.mustHave(t, "m-1")
		b.mustHave(t)
		r.mustStats(0, 0)
		r.stop()
	})
}

func TestAdd_KeepsNothingThatNobodyWants(t *testing.T) {
	r := newRig(t, memstore.Options{}, &app{name: "a", wants: func(*outbox.Event) bool { return false }})
	r.open()
	r.add("m", 1)
	r.mustStats(0, 0)
}

// WeChat sends again what it got no answer for.
func TestAdd_Repeated(t *testing.T) {
	r := newRig(t, memstore.Options{}, &app{name: "a"})
	r.open()
	r.add("m", 1)
	r.add("m", 1)
	r.mustStats(1, 0)
}

func TestAdd_StoreFails(t *testing.T) {
	full := errors.New("disk full")
	var broken atomic.Bool
	r := newRig(t, memstore.Options{FailPut: func([]store.Write) error {
		if broken.Load() {
			return full
		}
		return nil
	}}, &app{name: "a"})
	r.opts.Limit = 400 // one event, so that what failed must give its room back
	r.open()
	broken.Store(true)
	if err := r.box.Add(t.Context(), event("m", 1)); !errors.Is(err, full) {
		t.Errorf("Add: %v", err)
	}
	r.mustStats(0, 0)
	broken.Store(false)
	r.add("m", 1)
	r.mustStats(1, 0)
}

// A clock that was put back does not change the order.
func TestOpen_ClockPutBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		r := newRig(t, memstore.Options{}, a)
		r.open()
		r.add("m", 1)
		r.opts.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		r.open()
		r.add("m", 2)
		r.start()
		synctest.Wait()
		a.mustHave(t, "m-1", "m-2")
		r.stop()
	})
}

func TestOpen_GoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &app{name: "a"}, &app{name: "b"}
		b.answerWith(down)
		r := newRig(t, memstore.Options{}, a, b)
		r.start()
		for n := range 300 {
			r.add("m", n)
		}
		synctest.Wait()
		r.stop()
		r.mustStats(300, 0)
		b.answerWith(nil)
		r.start()
		synctest.Wait()
		r.stop()
		var want []string
		for n := range 300 {
			want = append(want, event("m", n).ID)
		}
		a.mustHave(t, want...) // once: the store knew
		b.mustHave(t, want...)
		r.mustStats(0, 0)
	})
}

// A record that is damaged costs itself.
func TestOpen_DamagedRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := &app{name: "a"}
		r := newRig(t, memstore.Options{}, a)
		r.open()
		r.add("m", 1)
		r.add("m", 2)
		name := r.records()[0]
		rec, err := r.store.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		w := store.Write{Name: name, Base: rec.Version(), Record: rec}
		rec.Sealed[len(rec.Sealed)-1] ^= 1
		if err := r.store.Put(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		r.start()
		synctest.Wait()
		a.mustHave(t, "m-2")
		if names := r.records(); !slices.Equal(names, []string{name}) {
			t.Errorf("the store has %v", names)
		}
		r.stop()
	})
}
