package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// TestPageTickets_NoneOfAComponent asks for tickets for pages of what has no pages.
// Nothing may stay of it: a key that can never live would have the component's token
// rejected, and renewed, for good.
func TestPageTickets_NoneOfAComponent(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		before := w.broker.InUse()
		for _, kind := range []broker.Kind{broker.KindJSAPITicket, broker.KindWXCardTicket} {
			key := broker.Key{Kind: kind, AppID: componentID}
			if _, err := w.broker.Token(context.Background(), key); !errors.Is(err, broker.ErrUnknownAccount) {
				t.Errorf("%s: %v, want a refusal", key, err)
			}
		}
		if n := w.broker.InUse(); n != before {
			t.Errorf("%d keys are in use, want %d as before", n, before)
		}
		pass(30 * time.Minute)
		if n := w.sim.TokensIssued(componentID); n != 1 {
			t.Errorf("%d component tokens within half an hour, want the first alone", n)
		}
		if n := w.sim.Calls("/cgi-bin/ticket/getticket"); n != 0 {
			t.Errorf("WeChat was asked %d times for a component's tickets", n)
		}
	})
}

// TestPageTickets_StrayRecordsAreDropped begins with what an earlier version may have
// left in the store.
func TestPageTickets_StrayRecordsAreDropped(t *testing.T) {
	inWorld(t, worldOptions{own: true}, func(w *world) {
		w.ticket()
		stray := broker.Key{Kind: broker.KindJSAPITicket, AppID: componentID}
		good := broker.Key{Kind: broker.KindJSAPITicket, AppID: ownID}
		w.mustHave(good)
		w.halt()
		now := time.Now()
		seed := broker.Seed{Key: stray, Token: "old", Generation: 2, Obtained: now.Add(-time.Hour), Dies: now.Add(time.Hour), Used: now}
		if err := w.store.Put(context.Background(), seed.Write(keyring(t))); err != nil {
			t.Fatal(err)
		}
		w.start()
		if _, err := w.store.Get(context.Background(), stray.String()); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the record %s is still in the store: %v", stray, err)
		}
		if _, err := w.store.Get(context.Background(), good.String()); err != nil {
			t.Errorf("the record %s: %v", good, err)
		}
		pass(10 * time.Minute)
		if _, err := w.broker.Token(context.Background(), stray); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("%s: %v, want a refusal", stray, err)
		}
		if n := w.sim.TokensIssued(componentID); n != 1 {
			t.Errorf("%d component tokens, want the first alone", n)
		}
	})
}

// mustHave waits for a token of key.
func (w *world) mustHave(key broker.Key) {
	w.t.Helper()
	if _, err := w.broker.Token(context.Background(), key); err != nil {
		w.t.Fatalf("%s: %v", key, err)
	}
}
