package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestRenew_WhileARenewalFailsOfTheOldCause(t *testing.T) {
	o := worldOptions{own: true, adjust: func(o *broker.Options) { o.Accounts[0].Secret = secret.New("wrong") }}
	inWorld(t, o, func(w *world) {
		w.sim.Fault(stablePath, wechattest.Fault{Latency: 2 * time.Second})
		pass(3*time.Minute + time.Second)
		w.opts.Accounts[0].Secret = secret.New(ownSecret)
		if err := w.broker.SetConfig(w.opts.Components, w.opts.Accounts); err != nil {
			t.Fatal(err)
		}
		w.sim.ClearFaults()
		pass(3 * time.Second)
		w.mustCall(ownKey)
	})
}

// TestCacheLoss is the broker with a cache that holds one account at most, so that
// nearly every Set is refused or evicted soon after.
func TestCacheLoss(t *testing.T) {
	const n = 3000
	o := worldOptions{merchants: n, own: true, adjust: func(o *broker.Options) { o.CacheSize = 1 }}
	inWorld(t, o, func(w *world) {
		w.ticket()
		pass(time.Second)
		for i := range n {
			w.mustCall(authorizerKey(merchant(i)))
		}
		w.mustCall(ownKey)
		before := w.tokenCalls()
		first := map[broker.Key]*broker.Token{}
		for i := range n {
			key := authorizerKey(merchant(i))
			first[key] = must(w.broker.Token(context.Background(), key))
			if got := first[key]; got.Key() != key || got.Value() != w.sim.CurrentToken(key.AppID) {
				t.Fatalf("%s was given the token of %s", key, got.Key())
			}
		}
		if more := w.tokenCalls() - before; more != 0 {
			t.Errorf("%d token calls because the cache forgot", more)
		}
		for key, old := range first {
			if old.Generation%7 == 0 || !strings.HasSuffix(key.AppID, "7") {
				continue
			}
			w.sim.Displace(key.AppID)
			w.broker.Report(key, old.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
			for range 5 {
				if got := must(w.broker.Token(context.Background(), key)); got.Generation <= old.Generation {
					t.Fatalf("%s: %v after %v was replaced", key, got, old)
				}
			}
		}
	})
}

// hammered is a broker in real time under the blows of many goroutines.
type hammered struct {
	t      *testing.T
	b      *broker.Broker
	sim    *wechattest.Server
	n      int
	config []broker.ComponentConfig
	newest []atomic.Uint64 // generation seen, by merchant
}

func TestHammer_CallsReportsPushesAndReloadsAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	const n = 300
	sim := wechattest.New(wechattest.Options{Seed: 1, RotateRefreshTokens: true, KeepRequests: 1})
	sim.AddComponent(wechattest.Component{AppID: componentID, Secret: appSecret})
	sim.AddAccount(ownID, ownSecret)
	for i := range n {
		sim.AddAuthorizer(componentID, merchant(i))
	}
	client, err := wechat.New(wechat.Options{Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	h := &hammered{t: t, sim: sim, n: n, newest: make([]atomic.Uint64, n)}
	h.config = []broker.ComponentConfig{{AppID: componentID, Secret: secret.New(appSecret)}}
	h.b, err = broker.New(broker.Options{
		Components: h.config, Accounts: []broker.AccountConfig{{AppID: ownID, Secret: secret.New(ownSecret)}},
		WeChat: client, Store: memstore.New(memstore.Options{}), Seal: keyring(t), CacheSize: 1, Rate: 10_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	halt := run(h.b)
	h.push(0)
	if _, err := h.b.Account(context.Background(), merchant(0), broker.Choice{}); err != nil { // waits for the list
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() { h.strike(uint64(g)) })
	}
	all.Wait()
	for i := range n {
		h.call(i)
	}
	halt()
	for _, v := range sim.Violations() {
		t.Errorf("WeChat saw what it never should: %s", v)
	}
}

func (h *hammered) strike(seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 7))
	for range 200 {
		i := dice.IntN(h.n)
		switch dice.IntN(12) {
		case 0:
			h.push(dice.IntN(1000))
		case 1:
			if err := h.b.SetConfig(h.config, []broker.AccountConfig{{AppID: ownID, Secret: secret.New(ownSecret)}}[:dice.IntN(2)]); err != nil {
				h.t.Error(err)
			}
		case 2:
			h.b.Renew(authorizerKey(merchant(i)))
		case 3:
			h.authorize(i)
		case 4:
			h.b.Missing()
			h.b.OnlyAccount(context.Background(), broker.Choice{})
		case 5, 6:
			t := h.call(i)
			h.sim.Displace(merchant(i))
			if t != nil {
				h.b.Report(t.Key(), t.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
			}
		case 7:
			_, _ = h.b.Token(context.Background(), broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(i), Component: componentID})
		default:
			h.call(i)
		}
	}
}

// call takes a token of merchant i, and checks that it is his and that no
// generation comes back after a newer one was seen.
func (h *hammered) call(i int) *broker.Token {
	key, newest := authorizerKey(merchant(i)), h.newest[i].Load()
	t, err := h.b.Token(context.Background(), key)
	if err != nil {
		h.t.Errorf("%s: %v", key, err)
		return nil
	}
	if t.Key() != key || t.Generation < newest {
		h.t.Errorf("%s: got %v after generation %d", key, t, newest)
	}
	for {
		seen := h.newest[i].Load()
		if seen >= t.Generation || h.newest[i].CompareAndSwap(seen, t.Generation) {
			return t
		}
	}
}

func (h *hammered) push(i int) {
	err := h.b.HandlePush(context.Background(), wechat.Push{
		ID: fmt.Sprint("t", i), Component: componentID, InfoType: wechat.InfoTicket,
		CreateTime: time.Now(), Ticket: secret.New(h.sim.NewTicket(componentID)),
	})
	if err != nil {
		h.t.Error(err)
	}
}

func (h *hammered) authorize(i int) {
	code := h.sim.Authorize(componentID, merchant(i))
	err := h.b.HandlePush(context.Background(), wechat.Push{
		ID: "a" + code, Component: componentID, InfoType: wechat.InfoUpdateAuthorized, CreateTime: time.Now(),
		AuthorizerAppID: merchant(i), Code: secret.New(code), CodeExpires: time.Now().Add(time.Minute),
	})
	if err != nil {
		h.t.Error(err)
	}
}
