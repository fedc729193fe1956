package proxy

import (
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	faultyPath     = "/cgi-bin/template/get_industry"
	authorizerPath = "/cgi-bin/component/api_authorizer_token"
)

// A call that WeChat answers 40001 whatever its token costs one renewal while others are
// served, and takes nothing from what a displaced token needs.
func TestEndToEnd_FaultyCallCostsOneRenewal(t *testing.T) {
	w := newWorld(t, Options{})
	w.fine(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	w.sim.Fault(faultyPath, wechattest.Fault{Errcode: 40001})
	before := w.sim.CallsFor(authorizerPath, merchant)
	for range 50 {
		if got := w.call(t, "GET", faultyPath, "", forMerchant()); findErrcode([]byte(got.body)) != 40001 {
			t.Fatalf("%d %q", got.status, got.body)
		}
		w.fine(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	}
	if n := w.sim.CallsFor(authorizerPath, merchant) - before; n != 1 {
		t.Errorf("%d renewals, want 1", n)
	}
	if n := w.sim.Calls(faultyPath); n != 51 {
		t.Errorf("the faulty call was sent %d times, want 50 and one replay", n)
	}
	for range 4 {
		w.sim.Displace(merchant)
		w.fine(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	}
	w.sim.ClearFaults()
	w.fine(t, "GET", faultyPath, "", forMerchant())
	w.sim.Displace(merchant)
	w.fine(t, "GET", faultyPath, "", forMerchant())
}
