package proxy

import (
	"fmt"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
)

// known makes calls until the broker's memory knows the merchant, by the last of which its slot
// knows it too.
func (w *world) known(t *testing.T, path string, headers ...string) *slot {
	t.Helper()
	for range 10_000 {
		w.fine(t, "GET", path, "", headers...)
		s := w.inflight.find([]byte(merchant))
		if s != nil && s.known.Load() != nil {
			w.fine(t, "GET", path, "", headers...)
			return s
		}
	}
	t.Fatal("memory does not know the merchant after 10,000 calls")
	return nil
}

// What is known of the account that a call names serves no other key, whose token the call takes.
func TestKnown_OtherKeyOfTheCall(t *testing.T) {
	w := newWorld(t, Options{})
	w.known(t, "/cgi-bin/menu/get", forMerchant())
	w.fine(t, "GET", "/wxa/gettemplatelist", "", forMerchant()) // takes the component's
	w.fine(t, "POST", "/cgi-bin/component/api_get_authorizer_info", `{"component_appid":"`+component+`","authorizer_appid":"`+merchant+`"}`, forMerchant())
}

// What the slot of a handle's account remembers serves no call that means another component, and
// none of an account that left; memory lets go of that then. Counted at WeChat.
func TestKnown_ByHandle(t *testing.T) {
	w := newWorld(t, Options{})
	handles := map[string]string{
		"without a component": w.sidecar.keys.issue(broker.Key{Kind: broker.KindAuthorizer, AppID: merchant}, nil),
		"with its component":  w.sidecar.keys.issue(authorizerKey(merchant), nil),
	}
	const menu = "/cgi-bin/menu/get"
	var s *slot
	for name, handle := range handles {
		s = w.known(t, menu+"?access_token="+handle)
		if h, found := w.callers.Load().handles.get([]byte(handle)); h == nil || found != s {
			t.Errorf("%s: the handle is not kept with its account's slot", name)
		}
	}
	before := w.sim.Calls(menu)
	for name, handle := range handles {
		if got := w.call(t, "GET", menu+"?access_token="+handle, "", throughComponent(own)); got.status != 400 && got.status != 404 {
			t.Errorf("%s, beside another component: %d %q", name, got.status, got.body)
		}
	}
	if err := w.broker.SetConfig(nil, nil); err != nil {
		t.Fatal(err)
	}
	if s.known.Load() != nil {
		t.Error("what left memory is kept")
	}
	for name, handle := range handles {
		if got := w.call(t, "GET", menu+"?access_token="+handle, ""); got.status != 404 {
			t.Errorf("%s, of an account that left: %d %q", name, got.status, got.body)
		}
	}
	if n := w.sim.Calls(menu) - before; n != 0 {
		t.Errorf("WeChat has had %d of the calls", n)
	}
}

// What a connection remembers of its last call's account serves no call that means another
// component or another account, and none of an account that left. Counted at WeChat.
func TestKnown_ByAppIDOfOneConnection(t *testing.T) {
	w := newWorld(t, Options{})
	const menu = "/cgi-bin/menu/get"
	slot := w.known(t, menu, forMerchant())
	c := dialOne(t, w.sidecar)
	f := func(lines string, status, calls int) {
		t.Helper()
		before := w.sim.Calls(menu)
		got, text := c.call(t, "GET", menu, "Host: localhost\r\n"+lines+"\r\n", "")
		if got != status || w.sim.Calls(menu)-before != calls || calls > 0 && findErrcode([]byte(text)) != 0 {
			t.Errorf("%s: %d %q, and WeChat has had %d of it", lines, got, text, w.sim.Calls(menu)-before)
		}
	}
	for range 3 {
		f(forMerchant(), 200, 1)
		f(forMerchant(), 200, 1)
		if c.app.named != slot {
			t.Error("the connection does not remember the account")
		}
		f(forMerchant()+"\r\n"+throughComponent(component), 200, 1)
		f(forMerchant()+"\r\n"+throughComponent(own), 404, 0)
		f("X-Wechat-Appid: wx0000000000000000", 404, 0)
	}
	f(forMerchant(), 200, 1)
	if err := w.broker.SetConfig(nil, nil); err != nil {
		t.Fatal(err)
	}
	f(forMerchant(), 404, 0)
}

// The broker hears that WeChat took a token, also the newer one with which a call was cured.
func TestServed_IsHeardOfEachToken(t *testing.T) {
	w := newWorld(t, Options{})
	served := func() bool {
		tok, err := w.broker.Token(t.Context(), authorizerKey(merchant))
		if err != nil {
			t.Fatal(err)
		}
		return tok.Settled()
	}
	w.fine(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	if !served() {
		t.Error("after the first call: not heard")
	}
	w.sim.ExpireToken(merchant)
	w.fine(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	if !served() {
		t.Error("after a call that was cured: not heard")
	}
}

// A call that is forwarded is counted among those of the account whose token it takes, whatever
// account it names beside. Merchant has as many under way as it may.
func TestKnown_CountedForTheKeyOfTheCall(t *testing.T) {
	w := newWorld(t, Options{Limits: Limits{MaxInflightPerAccount: 1}})
	const templates = "/wxa/gettemplatelist" // takes the component's token
	handle := w.sidecar.keys.issue(authorizerKey(merchant), nil)
	f := func(fresh string) {
		t.Helper()
		slot, fault := w.inflight.acquireAccount(merchant, nil)
		if fault != nil {
			t.Fatal(fault)
		}
		defer slot.release()
		before := w.sim.Calls("/cgi-bin/menu/get")
		for by, got := range map[string]answer{
			"appid":  w.call(t, "GET", "/cgi-bin/menu/get", "", forMerchant()),
			"handle": w.call(t, "GET", "/cgi-bin/menu/get?access_token="+handle, ""),
		} {
			if got.status != 429 {
				t.Errorf("%s, by %s: %d %q, one too many", fresh, by, got.status, got.body)
			}
		}
		if n := w.sim.Calls("/cgi-bin/menu/get") - before; n != 0 {
			t.Errorf("%s: WeChat has had %d calls too many", fresh, n)
		}
		w.fine(t, "GET", templates, "", forMerchant())
		w.fine(t, "GET", templates+"?access_token="+handle, "")
	}
	f("before memory knows the merchant")
	w.known(t, "/cgi-bin/menu/get", forMerchant())
	w.known(t, "/cgi-bin/menu/get?access_token="+handle)
	f("when it does")
}

// Foreign handles leave neither a handle nor a slot behind.
func TestHandle_NoneOfOthersIsKept(t *testing.T) {
	f := func(list ...Caller) {
		t.Helper()
		s := start(t, Options{Source: platform(), Callers: list})
		for i := range 100 {
			appid := fmt.Sprintf("wx%016x", i)
			forged := handleKeys{[]byte("another")}.issue(authorizerKey(appid), nil)
			s.call(t, "GET", "/cgi-bin/menu/get?access_token="+forged, "")
		}
		if kept, slots := len(s.callers.Load().handles.m), len(s.inflight.slots); kept != 0 || slots != 0 {
			t.Errorf("%d callers: %d handles and %d slots are kept", len(list), kept, slots)
		}
	}
	f()
	f(callerOf("shop", "1"))
}
