package proxy

import (
	"slices"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
)

// A void handle on a path that is answered here names its account and its component, and
// never another one.
func TestComponent_VoidHandle(t *testing.T) {
	src := severalComponents()
	s := start(t, Options{Source: src, Callers: []Caller{callerOf("shop", "k1")}})
	const ticket, key = "/cgi-bin/ticket/getticket?access_token=", "X-Wxsidecar-Key: k1"
	void := oldHandle(broker.KindAuthorizer, merchant)
	f := func(want string, headers ...string) {
		t.Helper()
		if got := s.call(t, "GET", ticket+void, "", append(headers, key)...); !strings.Contains(got.body, want) {
			t.Errorf("%v: %d %q, want %q in it", headers, got.status, got.body, want)
		}
	}
	f(tokenOf(broker.KindJSAPITicket, component))
	f("two components, "+component+" and "+component2, throughComponent(component2))
	f(tokenOf(broker.KindJSAPITicket, component2), forMerchant(), throughComponent(component2)) // it is a placeholder beside an account
	src.accounts[merchant] = slices.DeleteFunc(src.accounts[merchant], func(a broker.Account) bool { return a.Component == component })
	f(merchant + " has not authorised component " + component)
}

// The handles of each way to get one are of the component that it was asked for, and what
// they are used for goes there, also while the merchant has taken the other back.
func TestComponent_HandleOfWhatWasTakenBack(t *testing.T) {
	up := newWeChat(t, echo)
	src := severalComponents()
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	gone := &broker.StateError{Key: authorizerKey(merchant), State: broker.StateUnauthorized, Reason: "taken back"}
	src.withdrawn[authorizerKey(merchant)] = true
	src.errs[authorizerKey(merchant)] = gone
	src.errs[broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant, Component: component}] = gone
	handle := s.keys.issue(authorizerKey(merchant), nil)
	for _, path := range []string{"/cgi-bin/menu/get", "/cgi-bin/ticket/getticket"} {
		if got := s.call(t, "GET", path+"?access_token="+handle, ""); got.status != 403 || got.fault() != "unauthorized" {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d calls reached WeChat", n)
	}
}

// The handle of an authorizer whose AppSecret was configured since then is one of the own
// account. It still names its component, and no other may be named beside it.
func TestComponent_HandleOfWhatBecameAnOwnAccount(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: severalComponents(), Upstream: UpstreamOptions{URL: up.URL}})
	target := "/cgi-bin/menu/get?access_token=" + s.keys.issue(authorizerKey(own), nil)
	want := "access_token=" + tokenText(broker.Key{Kind: broker.KindAccount, AppID: own}, 1)
	for _, headers := range [][]string{nil, {throughComponent(component)}} {
		if got := s.call(t, "GET", target, "", headers...); !strings.HasSuffix(got.body, want) {
			t.Errorf("%v: %d %q, want %s", headers, got.status, got.body, want)
		}
	}
	if got := s.call(t, "GET", target, "", throughComponent(component2)); got.fault() != "bad_request" || up.calls.Load() != 2 {
		t.Errorf("%d %q, %d calls", got.status, got.body, up.calls.Load())
	}
}
