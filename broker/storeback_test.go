package broker_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// overwrite puts rec in the place of what the store has under name, whatever that
// is; a zero Record deletes.
func (w *world) overwrite(name string, rec store.Record) {
	w.t.Helper()
	ctx := context.Background()
	now := must(w.store.Get(ctx, name))
	if err := w.store.Put(ctx, store.Write{Name: name, Base: now.Version()}); err != nil {
		w.t.Fatal(err)
	}
	if rec.Sealed == nil {
		return
	}
	if err := w.store.Put(ctx, store.Write{Name: name, Record: rec}); err != nil {
		w.t.Fatal(err)
	}
}

// spoilt is a record whose content no longer opens.
func spoilt(rec store.Record) store.Record {
	sealed := bytes.Clone(rec.Sealed)
	sealed[len(sealed)-1] ^= 1
	return store.Record{Generation: rec.Generation, Sealed: sealed}
}

// TestStore_GoesBackUnderARunningBroker has a key's record lost, rolled back or
// spoilt while the broker runs, as the repair of a damaged file may do. Memory has
// what was lost: calls go on, no older refresh token is used (inWorld checks that),
// and with the next renewal the store has all of it again.
func TestStore_GoesBackUnderARunningBroker(t *testing.T) {
	for name, change := range map[string]func(old, now store.Record) store.Record{
		"lost":        func(_, _ store.Record) store.Record { return store.Record{} },
		"rolled back": func(old, _ store.Record) store.Record { return old },
		"spoilt":      func(_, now store.Record) store.Record { return spoilt(now) },
	} {
		lit(t, worldOptions{merchants: 1, sim: wechattest.Options{RotateRefreshTokens: true}}, func(w *world) {
			key := authorizerKey(merchant(0))
			get := func() store.Record { return must(w.store.Get(context.Background(), key.String())) }
			old := get()
			for range 3 {
				pass(time.Minute)
				w.sim.Displace(merchant(0))
				w.mustCall(key)
			}
			held := must(w.broker.Token(context.Background(), key))
			w.overwrite(key.String(), change(old, get()))
			before := w.sim.Calls(authorizerPath)
			pass(61 * time.Minute) // in which last uses are written
			w.mustCall(key)
			pass(30 * time.Minute)
			w.mustCall(key)
			got := must(w.broker.Token(context.Background(), key))
			if n := w.sim.Calls(authorizerPath) - before; n != 1 || got.Generation != held.Generation+1 {
				t.Errorf("%s: %d renewals, from %v to %v; want the one that was due", name, n, held, got)
			}
			if n := w.sim.Calls(infoPath); n != 0 {
				t.Errorf("%s: WeChat was asked %d times for a refresh token that memory has", name, n)
			}
			if stored := get(); stored.Generation != got.Generation {
				t.Errorf("%s: the store has generation %d, memory %d", name, stored.Generation, got.Generation)
			}
			w.restart()
			w.mustCall(key)
		})
	}
}

// TestStore_TicketsGoOnAfterItWentBack does the same to a component's tickets: pushes
// must go on being taken.
func TestStore_TicketsGoOnAfterItWentBack(t *testing.T) {
	for name, change := range map[string]func(old, now store.Record) store.Record{
		"lost":        func(_, _ store.Record) store.Record { return store.Record{} },
		"rolled back": func(old, _ store.Record) store.Record { return old },
		"spoilt":      func(_, now store.Record) store.Record { return spoilt(now) },
	} {
		lit(t, worldOptions{}, func(w *world) {
			record := "platform/" + componentID
			get := func() store.Record { return must(w.store.Get(context.Background(), record)) }
			old := get()
			for range 3 {
				pass(10 * time.Minute)
				w.ticket()
			}
			before := get()
			w.overwrite(record, change(old, before))
			w.sim.ExpireToken(componentID)
			w.mustCall(platformKey) // with the tickets that memory has
			w.ticket()
			if now := get(); now.Generation <= before.Generation {
				t.Errorf("%s: the store has generation %d, before it went back %d", name, now.Generation, before.Generation)
			}
			w.restart()
			w.sim.ExpireToken(componentID)
			w.mustCall(platformKey)
		})
	}
}
