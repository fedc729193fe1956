package broker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestGarbage_NeverReplacesAToken(t *testing.T) {
	for _, mode := range wechattest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
				w.ticket()
				w.sim.Fault("/cgi-bin/component/api_*", wechattest.Fault{Mode: mode})
				w.sim.Fault(stablePath, wechattest.Fault{Mode: mode})
				pass(100 * time.Minute)
				// Where the spoilt call took effect, WeChat has put another token in the
				// place of ours, and nothing but its own refusal or the cause may be seen.
				if code, err := w.call(authorizerKey(merchant(0))); err == nil && code != 0 && !wechat.Stale(code) {
					t.Errorf("errcode %d, error %v", code, err)
				}
				w.sim.ClearFaults()
				pass(3 * time.Minute)
				w.mustCall(authorizerKey(merchant(0)))
				w.mustCall(ownKey)
				w.mustCall(platformKey)
			})
		})
	}
}

func TestStoreDown_ServedFromMemoryAndSavedLater(t *testing.T) {
	var down atomic.Bool
	refuse := errors.New("no space left on device")
	store := memstore.New(memstore.Options{
		Wait: func(context.Context) error {
			if down.Load() {
				return refuse
			}
			return nil
		},
	})
	lit(t, worldOptions{merchants: 2, own: true, store: store}, func(w *world) {
		w.ticket()
		down.Store(true)
		if err := w.broker.HandlePush(context.Background(), wechat.Push{
			ID: "x", Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now(), Ticket: secret.New(w.sim.NewTicket(componentID)),
		}); err == nil {
			t.Error("a ticket that is not durable was acknowledged")
		}
		keys := []broker.Key{authorizerKey(merchant(0)), authorizerKey(merchant(1)), ownKey, platformKey}
		if failed := w.keepCalling(keys, 5*time.Hour, 5*time.Minute); failed != 0 {
			t.Errorf("%d calls failed while the store was down", failed)
		}
		if n := w.metric("wxsidecar_unsaved_tokens"); n != 4 {
			t.Errorf("%g unsaved tokens are counted, want 4", n)
		}
		if n := w.metric("wxsidecar_renewals_total", "result", "unsaved"); n < 4 {
			t.Errorf("%g renewals are counted as unsaved, want one of each key at least", n)
		}
		down.Store(false)
		pass(10 * time.Second)
		if n := w.metric("wxsidecar_unsaved_tokens"); n != 0 {
			t.Errorf("%g unsaved tokens after the store's return", n)
		}
		before := w.tokenCalls()
		asked := w.sim.Calls(startPath)
		w.restart()
		for _, key := range keys {
			w.mustCall(key)
		}
		asked = w.sim.Calls(startPath) - asked // no ticket came for hours
		if n := w.tokenCalls() - before - asked; n != 0 {
			t.Errorf("%d token calls after the restart: what was unsaved was lost", n)
		}
	})
}

func TestWrongKey_IsToldApartFromDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, worldOptions{merchants: 1})
		w.start()
		w.ticket()
		w.halt()
		ring, err := seal.New([]byte("another key that has 32 bytes ..")[:32], nil)
		if err != nil {
			t.Fatal(err)
		}
		client := must(wechat.New(wechat.Options{Transport: w.sim.Transport()}))
		_, err = broker.New(broker.Options{WeChat: client, Store: w.store, Seal: ring, Now: time.Now})
		if !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), "seal.key_file") {
			t.Errorf("opened with another key: %v", err)
		}
	})
}

func TestIdle_IsNotRenewedAhead(t *testing.T) {
	lit(t, worldOptions{merchants: 10}, func(w *world) {
		defer w.tickets()()
		busy := authorizerKey(merchant(0))
		before := w.sim.Calls(authorizerPath)
		w.keepCalling([]broker.Key{busy}, 48*time.Hour, 30*time.Minute)
		if n := w.sim.Calls(authorizerPath) - before; n < 30 || n > 40+9*3 {
			t.Errorf("%d renewals in two days for one busy and nine idle authorizers", n)
		}
		for i := range 10 {
			w.mustCall(authorizerKey(merchant(i)))
		}
	})
}

func TestTicketsForPages(t *testing.T) {
	lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
		defer w.tickets()()
		for _, key := range []broker.Key{
			{Kind: broker.KindJSAPITicket, AppID: merchant(0), Component: componentID},
			{Kind: broker.KindWXCardTicket, AppID: merchant(0), Component: componentID},
			{Kind: broker.KindJSAPITicket, AppID: ownID},
		} {
			first, err := w.broker.Token(context.Background(), key)
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			again := must(w.broker.Token(context.Background(), key))
			if first != again {
				t.Errorf("%s was fetched twice", key)
			}
			w.sim.ExpireToken(key.AppID)
			pass(130 * time.Minute)
			later, err := w.broker.Token(context.Background(), key)
			if err != nil || later.Generation <= first.Generation {
				t.Errorf("%s after 130 minutes: %v, %v", key, later, err)
			}
		}
		_, err := w.broker.Token(context.Background(), broker.Key{Kind: broker.KindJSAPITicket, AppID: "wxffffffffffffffff"})
		if !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("a ticket of nobody's: %v", err)
		}
	})
}
