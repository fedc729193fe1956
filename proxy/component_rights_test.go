package proxy

import (
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
)

// TestComponent_Rights has callers act only through their components.
func TestComponent_Rights(t *testing.T) {
	up := newWeChat(t, echo)
	src := severalComponents()
	all, second, third := callerOf("all", "k0"), callerOf("second", "k2"), callerOf("third", "k3")
	second.Components, third.Components = []string{component2}, []string{component3}
	e := &exchange{answer: "{}"}
	s := start(t, Options{Source: src, Exchange: e, Upstream: UpstreamOptions{URL: up.URL}, Callers: []Caller{all, second, third}})
	served := func(method, target, body, want string, headers ...string) {
		t.Helper()
		if got := s.call(t, method, target, body, headers...); got.status != 200 || got.fault() != "" || !strings.Contains(got.body, want) {
			t.Errorf("%s %s %s %v: %d %q, want %q in it", method, target, body, headers, got.status, got.body, want)
		}
	}
	refused := func(component, method, target, body string, headers ...string) {
		t.Helper()
		before, traded := up.calls.Load(), len(e.codes)
		got := s.call(t, method, target, body, headers...)
		if got.status != 403 || got.fault() != "caller_refused" || !strings.Contains(got.body, "through the component "+component+": it is not in components") {
			t.Errorf("%s %s %s %v: %d %q", method, target, body, headers, got.status, got.body)
		}
		if up.calls.Load() != before || len(e.codes) != traded {
			t.Errorf("%s %s %v reached WeChat", method, target, headers)
		}
	}
	const k0, k2, k3 = "X-Wxsidecar-Key: k0", "X-Wxsidecar-Key: k2", "X-Wxsidecar-Key: k3"
	const menu = "/cgi-bin/menu/get"
	// The caller's components say which of a merchant's is meant.
	served("GET", menu, "", tokenOf(broker.KindAuthorizer, component2), k2, forMerchant())
	served("GET", "/wxa/gettemplatelist", "", tokenText(componentKey(component2), 1), k2)
	served("GET", "/cgi-bin/ticket/getticket", "", tokenOf(broker.KindJSAPITicket, component2), k2, forMerchant())
	served("GET", "/sns/jscode2session?secret=k2&appid="+merchant, "", "component_appid="+component2)
	served("GET", menu, "", tokenText(broker.Key{Kind: broker.KindAccount, AppID: own}, 1), k2, "X-Wechat-Appid: "+own)

	refused(component, "GET", menu, "", k2, "X-Wechat-Appid: "+merchant2)
	refused(component, "GET", menu, "", k3, forMerchant()) // of which neither is the caller's
	refused(component, "GET", menu, "", k2, forMerchant(), throughComponent(component))
	refused(component, "GET", menu+"?component_appid="+component, "", k2, forMerchant())
	refused(component3, "GET", menu, "", k2, forMerchant(), throughComponent(component3)) // nor does it hear who has authorised it
	refused(component, "GET", "/wxa/gettemplatelist", "", k2, "X-Wechat-Appid: "+component)
	refused(component, "GET", "/wxa/gettemplatelist", "", k2, throughComponent(component))
	refused(component, "GET", "/cgi-bin/ticket/getticket", "", k2, "X-Wechat-Appid: "+merchant2)
	refused(component, "GET", "/cgi-bin/token?secret=k2&appid="+merchant2, "")
	refused(component, "POST", "/cgi-bin/component/api_component_token", `{"component_appsecret":"k2","component_appid":"`+component+`"}`)
	refused(component, "POST", "/cgi-bin/component/api_authorizer_token", `{"authorizer_appid":"`+merchant2+`"}`, k2)
	for _, name := range []string{"api_query_auth", "api_get_authorizer_info", "api_get_authorizer_list"} {
		refused(component, "POST", "/cgi-bin/component/"+name, `{"authorization_code":"c","component_appid":"`+component+`"}`, k2)
	}
	refused(component, "GET", "/sns/jscode2session?secret=k2&appid="+merchant2, "")
	// So do the calls that carry a component's secret, whatever the name of the appid.
	refused(component, "POST", "/cgi-bin/component/clear_quota/v2", `{"appsecret":"k2","component_appid":"`+component+`"}`)
	refused(component, "POST", "/cgi-bin/clear_quota/v2", `{"appsecret":"k2","appid":"`+component+`"}`)
	served("POST", "/cgi-bin/component/clear_quota/v2", `{"appsecret":"k2","component_appid":"`+component2+`"}`, "clear_quota")

	// A handle of another component is good, and the rights refuse it; void it is not.
	var own *caller
	for _, c := range s.callers.Load().all {
		if c.Name == "second" {
			own = c
		}
	}
	refused(component, "GET", menu+"?access_token="+s.keys.issue(authorizerKey(merchant), own), "")
	refused(component, "GET", menu+"?access_token="+s.keys.issue(authorizerKey(merchant), s.callers.Load().all[0]), "", k2)
	served("GET", menu+"?access_token="+s.keys.issue(authorizerKey(merchant), s.callers.Load().all[0]), "", tokenOf(broker.KindAuthorizer, component), k0)
	served("GET", menu+"?access_token="+s.keys.issue(broker.Key{Kind: broker.KindAuthorizer, AppID: merchant}, own), "", tokenOf(broker.KindAuthorizer, component2))
	s.call(t, "GET", menu+"?access_token="+oldHandle(broker.KindAuthorizer, merchant), "", k2).mustBeDead(t, "another seal key")
}
