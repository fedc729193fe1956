package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestColdStart_EveryAuthorizerCanBeCalled(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1200, own: true}, func(w *world) {
		w.sim.Unlist(componentID, merchant(7), true)
		if got := w.sim.Calls("/cgi-bin/component/api_start_push_ticket"); got != 1 {
			t.Fatalf("WeChat was asked %d times to push tickets, want once", got)
		}
		w.mustCall(ownKey)
		missing := w.broker.Missing()
		if len(missing) != 1 || missing[0].State != "waiting_ticket" || missing[0].AppID != componentID {
			t.Fatalf("missing: %+v", missing)
		}
		w.mustFail(authorizerKey(merchant(3)), broker.StateWaitingTicket)
		start := time.Now()
		w.ticket()
		pass(time.Second)
		for i := range 1200 {
			w.mustCall(authorizerKey(merchant(i)))
		}
		w.mustCall(platformKey)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("all authorizers could be called after %s", took)
		}
		if missing := w.broker.Missing(); len(missing) != 0 {
			t.Errorf("missing: %+v", missing)
		}
		if _, err := w.broker.Account(context.Background(), "wxffffffffffffffff", broker.Choice{}); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("an unknown appid: %v", err)
		}
	})
}

// TestColdStart_NoComponentWaitsForAnother has one component that cannot read its list when
// the first calls for a merchant of another come, whose list is on its way.
func TestColdStart_NoComponentWaitsForAnother(t *testing.T) {
	o, ticket := twoComponents()
	for name, trouble := range map[string]func(*world){
		"no ticket": func(*world) {},
		"no list": func(w *world) {
			w.sim.Fault(listPath, wechattest.Fault{Component: componentID, Errcode: -1})
			w.ticket()
		},
	} {
		for _, named := range []string{otherComponentID, ""} {
			t.Run(name+" "+named, func(t *testing.T) {
				inWorld(t, o, func(w *world) {
					w.sim.AddComponent(wechattest.Component{AppID: otherComponentID, Secret: appSecret})
					w.sim.AddAuthorizer(otherComponentID, merchant(2))
					w.store = memstore.New(memstore.Options{})
					w.restart()
					trouble(w)
					w.sim.Fault(listPath, wechattest.Fault{Latency: time.Second})
					ticket(w)
					if of, err := w.choose(merchant(2), broker.Choice{Component: named}); of != otherComponentID {
						t.Errorf("the first call is for %q, %v", of, err)
					}
					_, err := w.choose(merchant(0), broker.Choice{Component: named})
					if errors.Is(err, broker.ErrUnknownAccount) != (named != "") {
						t.Errorf("a merchant that is not the component's: %v", err)
					}
				})
			})
		}
	}
}

func TestRestart_NothingIsFetchedAnew(t *testing.T) {
	inWorld(t, worldOptions{merchants: 3, own: true}, func(w *world) {
		w.ticket()
		for i := range 3 {
			w.mustCall(authorizerKey(merchant(i)))
		}
		w.mustCall(ownKey)
		before := w.tokenCalls()
		w.restart()
		for i := range 3 {
			w.mustCall(authorizerKey(merchant(i)))
		}
		w.mustCall(ownKey)
		w.mustCall(platformKey)
		if after := w.tokenCalls(); after != before {
			t.Errorf("%d token calls after the restart", after-before)
		}
	})
}

func (w *world) tokenCalls() int {
	n := 0
	for _, path := range []string{
		"/cgi-bin/component/api_component_token", "/cgi-bin/component/api_authorizer_token",
		"/cgi-bin/stable_token", "/cgi-bin/ticket/getticket", "/cgi-bin/component/api_get_authorizer_list",
		"/cgi-bin/component/api_start_push_ticket",
	} {
		n += w.sim.Calls(path)
	}
	return n
}

func TestOnlyAccount(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		ctx := context.Background()
		var waiting *broker.StateError
		if a, err := w.broker.OnlyAccount(ctx, broker.Choice{}); !errors.As(err, &waiting) || waiting.State != broker.StateWaitingTicket {
			t.Errorf("an only account before any can be known: %+v, %v", a, err)
		}
		w.ticket()
		a, err := w.broker.OnlyAccount(ctx, broker.Choice{})
		if err != nil || a.AppID != merchant(0) || a.Component != componentID || a.Kind != broker.KindAuthorizer {
			t.Errorf("the only account: %+v, %v", a, err)
		}
		w.authorize(merchant(1))
		pass(time.Second)
		if a, err := w.broker.OnlyAccount(ctx, broker.Choice{}); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("an only account of two: %+v, %v", a, err)
		}
		if all := w.broker.Components(); len(all) != 1 || all[0] != componentID {
			t.Errorf("the components: %v", all)
		}
	})
}

// TestOnlyAccount_TakenBack has the only merchant take the authorization back, and come
// again by an event that is lost: calls that name nobody hear of the one, and need
// nobody's help for the other.
func TestOnlyAccount_TakenBack(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		only := func() broker.Key {
			t.Helper()
			return must(w.broker.OnlyAccount(context.Background(), broker.Choice{})).Key()
		}
		w.sim.Revoke(componentID, merchant(0))
		w.revoke(merchant(0), time.Now())
		w.mustFail(only(), broker.StateUnauthorized)
		w.sim.Authorize(componentID, merchant(0))
		pass(time.Minute + time.Second)
		w.mustCall(only())
		w.sim.Revoke(componentID, merchant(0))
		w.revoke(merchant(0), time.Now().Add(time.Second))
		w.authorize(merchant(1))
		pass(time.Second)
		if key := only(); key.AppID != merchant(1) {
			t.Errorf("the only account is %s, which was taken back", key)
		}
		w.sim.Authorize(componentID, merchant(0))
		pass(time.Minute + time.Second)
		w.mustCall(authorizerKey(merchant(0)))
		if a, err := w.broker.OnlyAccount(context.Background(), broker.Choice{}); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("an only account of two: %+v, %v", a, err)
		}
	})
}
