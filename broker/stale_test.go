package broker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	componentPath  = "/cgi-bin/component/api_component_token"
	authorizerPath = "/cgi-bin/component/api_authorizer_token"
	infoPath       = "/cgi-bin/component/api_get_authorizer_info"
	listPath       = "/cgi-bin/component/api_get_authorizer_list"
	stablePath     = "/cgi-bin/stable_token"
	jsapiPath      = "/cgi-bin/ticket/getticket"
	queryAuthPath  = "/cgi-bin/component/api_query_auth"
	menuPath       = "/cgi-bin/menu/get"
	startPath      = "/cgi-bin/component/api_start_push_ticket"
)

// lit is a world in which everything lives.
func lit(t *testing.T, o worldOptions, f func(w *world)) {
	t.Helper()
	inWorld(t, o, func(w *world) {
		w.ticket()
		pass(time.Second)
		for i := range o.merchants {
			w.mustCall(authorizerKey(merchant(i)))
		}
		if o.own {
			w.mustCall(ownKey)
		}
		f(w)
	})
}

func TestReport_DisplacedTokenIsCured(t *testing.T) {
	lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
		for _, c := range []struct {
			key  broker.Key
			path string
		}{{authorizerKey(merchant(0)), authorizerPath}, {ownKey, stablePath}, {platformKey, componentPath}} {
			before := w.sim.Calls(c.path)
			w.sim.Displace(c.key.AppID)
			w.mustCall(c.key)
			if n := w.sim.Calls(c.path) - before; n != 1 {
				t.Errorf("%s: %d renewals, want 1", c.key, n)
			}
		}
	})
}

func TestReport_ThousandLateReportsMakeOneRenewal(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		old, err := w.broker.Token(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		before := w.sim.Calls(authorizerPath)
		w.sim.Displace(key.AppID)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				w.broker.Report(key, old.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
				fresh, err := w.broker.Token(context.Background(), key)
				if err != nil || fresh.Generation <= old.Generation {
					t.Errorf("token after the report: %v, %v", fresh, err)
				}
			})
		}
		all.Wait()
		for range 10 {
			w.broker.Report(key, old.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
		}
		pass(time.Minute)
		if n := w.sim.Calls(authorizerPath) - before; n != 1 {
			t.Errorf("%d renewals for 1010 reports, want 1", n)
		}
		w.mustCall(key)
	})
}

// TestReport_EndlessRejectionIsLimited has an app call nothing but what WeChat answers
// 40001 whatever the token: the call is at fault, and nobody outside.
func TestReport_EndlessRejectionIsLimited(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Fault(menuPath, wechattest.Fault{Errcode: 40001})
		before := w.sim.Calls(authorizerPath)
		for range 600 {
			if code, err := w.call(key); code != 40001 || err != nil {
				t.Fatalf("errcode %d, error %v; WeChat's own answer was to be passed on", code, err)
			}
			pass(time.Second)
		}
		if n := w.sim.Calls(authorizerPath) - before; n < 1 || n > 6 {
			t.Errorf("%d forced renewals in ten minutes", n)
		}
		if got := w.metric("wxsidecar_displaced_total", "kind", "authorizer"); got != 0 {
			t.Errorf("counted as displaced %g times", got)
		}
		w.sim.ClearFaults()
		w.mustCall(key)
	})
}

func TestReport_StableTokenThatWeChatRejectsIsForced(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		first, err := w.broker.Token(context.Background(), ownKey)
		if err != nil {
			t.Fatal(err)
		}
		w.broker.Report(ownKey, first.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
		same, err := w.broker.Token(context.Background(), ownKey)
		if err != nil || same.Generation != first.Generation || same.Value() != first.Value() {
			t.Fatalf("an unchanged value keeps its generation: %v then %v, %v", first, same, err)
		}
		w.broker.Report(ownKey, same.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
		forced, err := w.broker.Token(context.Background(), ownKey)
		if err != nil || forced.Generation != first.Generation+1 || forced.Value() == first.Value() {
			t.Fatalf("a value rejected again is replaced by force: %v then %v, %v", same, forced, err)
		}
		w.mustCall(ownKey)
	})
}

func TestReport_FailedRenewalGivesTheOldTokenBack(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		old, err := w.broker.Token(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		w.sim.Fault(authorizerPath, wechattest.Fault{Status: 502})
		w.broker.Report(key, old.Generation, broker.Refusal{Errcode: 40001, Path: menuPath})
		again, err := w.broker.Token(context.Background(), key)
		if err != nil || again.Generation != old.Generation {
			t.Errorf("nothing better is to be had, so the old token is given: %v, %v", again, err)
		}
		w.sim.ClearFaults()
	})
}

func TestComponentStale_OnATokenCall(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		w.sim.Displace(componentID)
		w.sim.Displace(merchant(0))
		w.mustCall(authorizerKey(merchant(0)))
		w.sim.ExpireToken(componentID)
		w.sim.ExpireToken(merchant(1))
		w.mustCall(authorizerKey(merchant(1)))
	})
}

// TestReport_ForceIsLimited has WeChat reject an own account's token whatever it is:
// force_refresh makes void what others may hold, so it is used ten times a day at most.
func TestReport_ForceIsLimited(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		w.sim.Fault("/cgi-bin/menu/get", wechattest.Fault{Errcode: 40001})
		before := w.sim.TokensIssued(ownID)
		for range 10 * 60 {
			_, _ = w.call(ownKey)
			pass(time.Minute)
		}
		if n := w.sim.TokensIssued(ownID) - before; n < 5 || n > 10+6 {
			t.Errorf("%d tokens in ten hours, want ten by force and those whose time had come", n)
		}
		w.sim.ClearFaults()
		w.mustCall(ownKey)
	})
}
