package outbox_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// losing returns a rig whose store loses the answer to the next change once *lose is set.
func losing(t *testing.T, a *app, lose *bool) *rig {
	t.Helper()
	return newRig(t, memstore.Options{LosePut: func([]store.Write) error {
		if *lose {
			*lose = false
			return errors.New("no answer")
		}
		return nil
	}}, a)
}

// WeChat pushes again what was not acknowledged. The record of the first time must not come
// back at the next start, behind what the app has got since.
func TestAdd_LostAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, lose := &app{name: "a"}, false
		r := losing(t, a, &lose)
		r.start()
		defer func() { r.stop() }()
		for range 2 {
			lose = true
			if err := r.box.Add(t.Context(), event("m", 1)); err == nil {
				t.Fatal("Add without an answer of the store succeeded")
			}
			time.Sleep(5 * time.Second)
		}
		r.add("m", 1)
		r.add("m", 2)
		synctest.Wait()
		a.mustHave(t, "m-1", "m-2")
		r.mustStats(0, 0)
		r.stop()
		r.start()
		synctest.Wait()
		a.mustHave(t, "m-1", "m-2")
	})
}

// A dead letter that made room, though nobody was told, must not stand in the way of all that
// comes after.
func TestAdd_LostAnswerOfRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, lose := &app{name: "a"}, false
		a.answerWith(down)
		r := losing(t, a, &lose)
		r.opts.Limit = 2000
		r.start()
		defer func() { r.stop() }()
		added := 0
		for ; r.box.Add(t.Context(), event("m", added)) == nil; added++ {
		}
		time.Sleep(50 * time.Hour)
		r.mustStats(0, added)
		lose = true
		if err := r.box.Add(t.Context(), event("n", 1)); err == nil {
			t.Fatal("Add without an answer of the store succeeded")
		}
		// WeChat gives this one up; others come.
		for n := 2; n < 5; n++ {
			_ = r.box.Add(t.Context(), event("n", n))
		}
		if waiting, _, _ := r.box.Stats(); waiting == 0 {
			t.Error("nothing is taken any more")
		}
	})
}
