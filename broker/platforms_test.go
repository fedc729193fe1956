package broker_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const otherComponentID = "wx7f00c0de00000002"

// twoComponents is what a world with two components is made of, and what pushes a
// ticket to the second.
func twoComponents() (o worldOptions, ticket func(*world)) {
	o = worldOptions{merchants: 2, adjust: func(o *broker.Options) {
		o.Components = append(o.Components, broker.ComponentConfig{AppID: otherComponentID, Secret: secret.New(appSecret)})
	}}
	return o, func(w *world) {
		w.mustPush(wechat.Push{
			ID: "o" + time.Now().String(), Component: otherComponentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now(), Ticket: secret.New(w.sim.NewTicket(otherComponentID)),
		})
	}
}

// inTwo runs f in a world of two components that have their tickets. The merchant of
// key has authorised the first, and has been called.
func inTwo(t *testing.T, f func(w *world, key broker.Key, ticket func(*world))) {
	t.Helper()
	inTwoWith(t, func(*worldOptions) {}, func(w *world, ticket func(*world)) {
		key := authorizerKey(merchant(0))
		w.mustCall(key)
		f(w, key, ticket)
	})
}

// inTwoWith is inTwo in a world that adjust changes before, and without a call.
func inTwoWith(t *testing.T, adjust func(*worldOptions), f func(w *world, ticket func(*world))) {
	t.Helper()
	o, ticket := twoComponents()
	adjust(&o)
	inWorld(t, o, func(w *world) {
		w.sim.AddComponent(wechattest.Component{AppID: otherComponentID, Secret: appSecret})
		w.ticket()
		ticket(w)
		pass(time.Second)
		f(w, ticket)
	})
}

// authorizeOther lets a merchant authorise the second component, and pushes the event.
func (w *world) authorizeOther(appID string) {
	w.t.Helper()
	code := w.sim.Authorize(otherComponentID, appID)
	w.mustPush(wechat.Push{
		ID: "a" + code, Component: otherComponentID, InfoType: wechat.InfoAuthorized, CreateTime: time.Now(),
		AuthorizerAppID: appID, Code: secret.New(code), CodeExpires: time.Now().Add(10 * time.Minute),
	})
}

// both are the keys of a merchant that has authorised both components.
func both(appID string) []broker.Key {
	return []broker.Key{authorizerOf(componentID, appID), authorizerOf(otherComponentID, appID)}
}

// choose is Account, and whose it is.
func (w *world) choose(appID string, c broker.Choice) (string, error) {
	w.t.Helper()
	k := w.broker.Known([]byte(appID), c)
	a, err := w.broker.Account(context.Background(), appID, c)
	if k != nil && (k.Account() != a || err != nil) {
		w.t.Errorf("%s, %+v: known as %+v, which is %+v, %v", appID, c, k.Account(), a, err)
	}
	return a.Component, err
}

// TestPlatforms_WhatOneLosesTheOthersKeep has a merchant authorise both components, take
// one authorization back, and give it again; also where the sidecar starts anew between,
// with its store and without.
func TestPlatforms_WhatOneLosesTheOthersKeep(t *testing.T) {
	for name, between := range map[string]func(w *world){
		"running": func(*world) {},
		"started anew": func(w *world) {
			w.restart()
		},
		"from an empty store": func(w *world) {
			w.store = memstore.New(memstore.Options{})
			w.restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTwo(t, func(w *world, _ broker.Key, ticket func(*world)) {
				appID := merchant(0)
				pushTickets := func() {
					w.ticket()
					ticket(w)
					pass(time.Second)
				}
				again := func() {
					between(w)
					pushTickets()
				}
				w.authorizeOther(appID)
				again()
				keys := both(appID)
				tickets := make([]broker.Key, 2)
				for i, key := range keys {
					w.mustCall(key)
					tickets[i] = broker.Key{Kind: broker.KindJSAPITicket, AppID: appID, Component: key.Component}
					must(w.broker.Token(context.Background(), tickets[i]))
				}
				must(w.broker.Token(context.Background(), keys[0]))
				if a, b := must(w.broker.Token(context.Background(), keys[0])), must(w.broker.Token(context.Background(), keys[1])); a.Value() == b.Value() {
					t.Error("both components serve one token")
				}
				w.sim.Revoke(componentID, appID)
				w.revoke(appID, time.Now())
				w.mustFail(keys[0], broker.StateUnauthorized)
				w.mustCall(keys[1])
				again()
				for range 15 * 60 / 10 { // fifteen hours
					if failed := w.keepCalling(keys[1:], 10*time.Minute, time.Minute); failed != 0 {
						t.Fatalf("%d calls for the other component failed", failed)
					}
					pushTickets()
				}
				must(w.broker.Token(context.Background(), tickets[1]))
				if of, err := w.choose(appID, broker.Choice{}); of != otherComponentID {
					t.Errorf("a call that names no component is for %q, %v", of, err)
				}
				if _, err := w.broker.Token(context.Background(), tickets[0]); err == nil {
					t.Error("a ticket for pages of what was taken back")
				}
				w.authorize(appID)
				pass(5 * time.Second)
				again()
				for _, key := range keys {
					w.mustCall(key)
				}
				if _, err := w.choose(appID, broker.Choice{}); err == nil {
					t.Error("of two authorizations in force one was chosen")
				}
			})
		})
	}
}

// TestPlatforms_Choice has a merchant of both components be called for in each way.
func TestPlatforms_Choice(t *testing.T) {
	inTwo(t, func(w *world, _ broker.Key, _ func(*world)) {
		f := func(appID string, c broker.Choice, want string) {
			t.Helper()
			of, err := w.choose(appID, c)
			var ambiguous *broker.AmbiguousError
			switch {
			case want == "several":
				if !errors.As(err, &ambiguous) || !slices.Equal(ambiguous.Components, []string{componentID, otherComponentID}) {
					t.Errorf("%s, %+v: %q, %v", appID, c, of, err)
				}
			case want == "none":
				if !errors.Is(err, broker.ErrUnknownAccount) {
					t.Errorf("%s, %+v: %q, %v", appID, c, of, err)
				}
			case of != want || err != nil:
				t.Errorf("%s, %+v: %q, %v", appID, c, of, err)
			}
		}
		one, other := componentID, otherComponentID
		f(merchant(0), broker.Choice{}, one)
		f(merchant(0), broker.Choice{Component: one}, one)
		f(merchant(0), broker.Choice{Component: other}, "none")
		f(merchant(0), broker.Choice{Default: other, Among: []string{other}}, one)
		w.authorizeOther(merchant(0))
		pass(time.Second)
		for range 2 { // what is remembered of the first round counts for nothing
			f(merchant(0), broker.Choice{}, "several")
			f(merchant(0), broker.Choice{Component: one, Among: []string{other}, Default: other}, one)
			f(merchant(0), broker.Choice{Component: other}, other)
			f(merchant(0), broker.Choice{Among: []string{other}, Default: one}, other)
			f(merchant(0), broker.Choice{Among: []string{one, other}}, "several")
			f(merchant(0), broker.Choice{Among: []string{"wx7f00c0de00000003"}, Default: one}, one)
			f(merchant(0), broker.Choice{Default: other}, other)
			f(merchant(0), broker.Choice{Default: "wx7f00c0de00000003"}, "several")
			f(merchant(1), broker.Choice{Default: other}, one)
			f("wxffffffffffffffff", broker.Choice{}, "none")
		}
		w.sim.Revoke(componentID, merchant(0))
		w.revoke(merchant(0), time.Now())
		f(merchant(0), broker.Choice{}, other)
		f(merchant(0), broker.Choice{Default: one}, other)
		f(merchant(0), broker.Choice{Component: one}, one)
	})
}

// TestPlatforms_WhoComesToASecond has the second authorization be known by an event that
// was lost, while the first component is in trouble: by the list, and by what an app reads.
func TestPlatforms_WhoComesToASecond(t *testing.T) {
	for name, learn := range map[string]func(w *world){
		"the list is read": func(w *world) { w.broker.Reconcile(otherComponentID) },
		"the app reads the info": func(w *world) {
			token := secret.New(w.sim.RefreshToken(otherComponentID, merchant(0)))
			w.broker.Learn(otherComponentID, merchant(0), token)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTwo(t, func(w *world, key broker.Key, _ func(*world)) {
				w.sim.Fault(componentPath, wechattest.Fault{AppID: componentID, Errcode: 40125})
				w.sim.Displace(componentID)
				w.sim.ExpireToken(merchant(0))
				w.mustFail(key, broker.StateMisconfigured)
				w.sim.Authorize(otherComponentID, merchant(0))
				w.sim.Unlist(otherComponentID, merchant(0), false)
				pass(time.Second)
				learn(w)
				pass(5 * time.Second)
				w.mustCall(authorizerOf(otherComponentID, merchant(0)))
				w.mustFail(key, broker.StateMisconfigured)
			})
		})
	}
}

// TestPlatforms_OnlyOneMerchant has the one merchant there is authorise both: calls that
// name nobody are for it.
func TestPlatforms_OnlyOneMerchant(t *testing.T) {
	inTwoWith(t, func(o *worldOptions) { o.merchants = 1 }, func(w *world, _ func(*world)) {
		w.authorizeOther(merchant(0))
		pass(time.Second)
		a, err := w.broker.OnlyAccount(context.Background(), broker.Choice{Default: otherComponentID})
		if err != nil || a.AppID != merchant(0) || a.Component != otherComponentID {
			t.Errorf("the only account: %+v, %v", a, err)
		}
	})
}

// TestPlatforms_ComingToASecond has a call name the component whose authorization still
// waits for its exchange: it waits for that, and is not for the other one.
func TestPlatforms_ComingToASecond(t *testing.T) {
	inTwo(t, func(w *world, _ broker.Key, _ func(*world)) {
		w.sim.Fault("/cgi-bin/component/api_query_auth", wechattest.Fault{Latency: 2 * time.Second, Times: 1})
		w.authorizeOther(merchant(0))
		if of, err := w.choose(merchant(0), broker.Choice{Component: otherComponentID}); of != otherComponentID {
			t.Errorf("%q, %v", of, err)
		}
		w.mustCall(authorizerOf(otherComponentID, merchant(0)))
	})
}

// TestPlatforms_AStoreThatIsAwayDecidesNothing has a call name no component while only one
// of two authorizations is in memory and the store cannot tell of the other: it is for
// neither. A merchant who was known to have one alone is served.
func TestPlatforms_AStoreThatIsAwayDecidesNothing(t *testing.T) {
	store, down := failing()
	inTwoWith(t, func(o *worldOptions) { o.store = store }, func(w *world, ticket func(*world)) {
		w.authorizeOther(merchant(0))
		pass(time.Second)
		if _, err := w.choose(merchant(0), broker.Choice{}); err == nil {
			t.Fatal("it has both")
		}
		if of, err := w.choose(merchant(1), broker.Choice{}); of != componentID {
			t.Fatalf("%q, %v", of, err)
		}
		for range 6 * 6 { // six hours in which the one is called and the other is not
			pass(10 * time.Minute)
			w.ticket()
			ticket(w)
			w.mustCall(authorizerOf(otherComponentID, merchant(0)))
			w.mustCall(authorizerKey(merchant(1)))
		}
		down.Store(true)
		code := secret.New(w.sim.Authorize(componentID, merchant(5)))
		if _, err := w.broker.QueryAuth(context.Background(), componentID, code); err != nil { // somebody comes
			t.Fatal(err)
		}
		if of, err := w.choose(merchant(0), broker.Choice{}); err == nil {
			t.Errorf("a call that may be for either is for %s", of)
		}
		if of, err := w.choose(merchant(1), broker.Choice{}); of != componentID {
			t.Errorf("%q, %v", of, err)
		}
	})
}
