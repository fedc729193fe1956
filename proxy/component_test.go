package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
)

// component3 is a component that no merchant of severalComponents has authorised.
const component3 = "wx00000000000000c3"

// severalComponents is platform with two components more. One merchant has authorised the
// first two, with page tickets of each; the other merchant has authorised the first.
func severalComponents() *source {
	src := ticketed()
	for _, appid := range []string{component2, component3} {
		src.add(broker.Account{AppID: appid, Kind: broker.KindComponent, Component: appid})
	}
	a := broker.Account{AppID: merchant, Kind: broker.KindAuthorizer, Component: component2}
	src.add(a)
	src.set(a.TicketKey(broker.KindJSAPITicket), 1)
	return src
}

func throughComponent(appid string) string { return "X-Wechat-Component: " + appid }

// tokenOf is the text of a token of the merchant's.
func tokenOf(kind broker.Kind, component string) string {
	return tokenText(broker.Key{Kind: kind, AppID: merchant, Component: component}, 1)
}

// TestComponent_OfAMerchantOfTwo has each way say which component a call is for, in their
// order.
func TestComponent_OfAMerchantOfTwo(t *testing.T) {
	up := newWeChat(t, echo)
	src := severalComponents()
	const menu = "/cgi-bin/menu/get"
	handle := handleKeys{[]byte("k")}.issue(authorizerKey(merchant), nil)
	handle2 := handleKeys{[]byte("k")}.issue(broker.Key{Kind: broker.KindAuthorizer, AppID: merchant, Component: component2}, nil)
	earlier := handleKeys{[]byte("k")}.issue(broker.Key{Kind: broker.KindAuthorizer, AppID: merchant}, nil)
	f := func(defaultComponent, target, want string, headers ...string) {
		t.Helper()
		s := start(t, Options{Source: src, DefaultComponent: defaultComponent, Upstream: UpstreamOptions{URL: up.URL}, HandleKeys: handleKeys{[]byte("k")}})
		before := up.calls.Load()
		got := s.call(t, "GET", target, "", headers...)
		if want == component || want == component2 {
			if got.status != 200 || !strings.HasSuffix(got.body, "access_token="+tokenOf(broker.KindAuthorizer, want)) {
				t.Errorf("%s %v: %d %q, want the token of %s", target, headers, got.status, got.body, want)
			}
			return
		}
		code, say, _ := strings.Cut(want, ": ")
		if got.fault() != code || !strings.Contains(got.body, say) || !strings.Contains(got.body, `"errcode":40013`) || up.calls.Load() != before {
			t.Errorf("%s %v: %d %q, want %s", target, headers, got.status, got.body, want)
		}
	}
	several := "ambiguous_component: " + component + " or " + component2 + ": name one in the header X-Wechat-Component"
	f("", menu, several, forMerchant())
	f("", menu, component2, forMerchant(), throughComponent(component2))
	f("", "/"+merchant+menu, component2, throughComponent(component2))
	f("", menu+"?from_appid="+merchant+"&component_appid="+component2, component2)
	f("", menu+"?component_appid=%77x00000000000000c2", component2, forMerchant())
	f("", menu+"?access_token="+handle, component)
	f("", menu+"?access_token="+handle2, component2)
	f("", menu+"?access_token="+earlier, several)
	f("", menu+"?access_token="+earlier, component2, throughComponent(component2))
	f(component, menu+"?access_token="+handle2, component2)
	f(component, menu+"?access_token="+earlier, component)
	f(component2, menu, component2, forMerchant())
	f(component2, menu, component, forMerchant(), throughComponent(component))
	f(component3, menu, several, forMerchant())
	// What is said twice must be the same.
	both := "bad_request: two components, " + component + " and " + component2
	f("", menu+"?access_token="+handle, both, throughComponent(component2))
	f("", menu+"?component_appid="+component2+"&access_token="+handle, both)
	f("", menu+"?component_appid="+component2, both, forMerchant(), throughComponent(component))
	f("", menu+"?component_appid="+component2+"&access_token="+handle2, component2, throughComponent(component2))
	f("", "/no/such/path", "bad_request: two components, "+component2+" and "+component, "X-Wechat-Appid: "+component, throughComponent(component2))
	// What cannot be is told apart.
	f("", menu, "unknown_account: "+merchant+" has not authorised component "+component3, forMerchant(), throughComponent(component3))
	f("", menu, "unknown_account: "+merchant2+" has not authorised component "+component2, "X-Wechat-Appid: "+merchant2, throughComponent(component2))
	f("", menu, "unknown_account: wx00000000000000c9 is none of the sidecar's components", forMerchant(), throughComponent("wx00000000000000c9"))
	f("", menu, "unknown_account: "+merchant2+" is none of the sidecar's components", forMerchant(), throughComponent(merchant2))
	f("", menu, "unknown_account: nobody knows the account wxdeadbeefdeadbeef", "X-Wechat-Appid: wxdeadbeefdeadbeef", throughComponent(component))
	f("", menu, "bad_request: "+own+" stands in accounts", "X-Wechat-Appid: "+own, throughComponent(component))
	// A merchant who has taken one authorization back is one of the other alone.
	src.withdrawn[authorizerKey(merchant)] = true
	f("", menu, component2, forMerchant())
	f(component, menu, component2, forMerchant())
	f("", menu+"?access_token="+earlier, component2)
	f("", menu+"?access_token="+handle, component)
}

// What is no appid may be anything, and is not shown.
func TestComponent_NoAppID(t *testing.T) {
	s := start(t, Options{Source: severalComponents(), DefaultAppID: merchant})
	got := s.call(t, "GET", "/cgi-bin/menu/get", "", throughComponent("a key of mine"))
	if got.status != 400 || got.fault() != "bad_request" || strings.Contains(got.body, "mine") {
		t.Errorf("%d %q", got.status, got.body)
	}
	if text := s.logged.String(); strings.Contains(text, "mine") {
		t.Errorf("the log shows it: %s", text)
	}
}

// TestComponent_OfTheOnlyMerchant has the one merchant there is, and the default one, be
// called for without a name.
func TestComponent_OfTheOnlyMerchant(t *testing.T) {
	up := newWeChat(t, echo)
	src := newSource(
		broker.Account{AppID: component, Kind: broker.KindComponent, Component: component},
		broker.Account{AppID: component2, Kind: broker.KindComponent, Component: component2},
		broker.Account{AppID: component3, Kind: broker.KindComponent, Component: component3},
		broker.Account{AppID: merchant, Kind: broker.KindAuthorizer, Component: component},
		broker.Account{AppID: merchant, Kind: broker.KindAuthorizer, Component: component2},
	)
	for _, defaultAppID := range []string{"", merchant} {
		f := func(defaultComponent, want string, headers ...string) {
			t.Helper()
			s := start(t, Options{Source: src, DefaultAppID: defaultAppID, DefaultComponent: defaultComponent, Upstream: UpstreamOptions{URL: up.URL}})
			if got := s.call(t, "GET", "/cgi-bin/menu/get", "", headers...); !strings.Contains(got.body, want) {
				t.Errorf("default %q: %d %q, want %q in it", defaultAppID, got.status, got.body, want)
			}
		}
		f("", "has authorised several components")
		f(component2, tokenOf(broker.KindAuthorizer, component2))
		f("", tokenOf(broker.KindAuthorizer, component2), throughComponent(component2))
		f("", merchant+" has not authorised component "+component3, throughComponent(component3))
	}
}

// The only account of all is found whatever component the call names, and hears if it has
// not authorised that one.
func TestComponent_OfTheOnlyAuthorization(t *testing.T) {
	up := newWeChat(t, echo)
	src := newSource(
		broker.Account{AppID: component, Kind: broker.KindComponent, Component: component},
		broker.Account{AppID: component2, Kind: broker.KindComponent, Component: component2},
		broker.Account{AppID: merchant, Kind: broker.KindAuthorizer, Component: component},
	)
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	if got := s.call(t, "GET", "/cgi-bin/menu/get", "", throughComponent(component)); !strings.HasSuffix(got.body, tokenOf(broker.KindAuthorizer, component)) {
		t.Errorf("%d %q", got.status, got.body)
	}
	got := s.call(t, "GET", "/cgi-bin/menu/get", "", throughComponent(component2))
	if got.fault() != "unknown_account" || !strings.Contains(got.body, merchant+" has not authorised component "+component2) || up.calls.Load() != 1 {
		t.Errorf("%d %q, %d calls", got.status, got.body, up.calls.Load())
	}
}

// TestComponent_WhereTheSidecarAnswers has the endpoints that are answered here, and those
// that carry secrets, go by the component that the call names.
func TestComponent_WhereTheSidecarAnswers(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/cgi-bin/component/api_get") {
			io.WriteString(w, `{"authorizer_appid":"`+merchant+`","authorizer_access_token":"tok-1"}`)
			return
		}
		io.WriteString(w, r.RequestURI)
	})
	e := &exchange{answer: `{"authorizer_appid":"` + merchant + `","authorizer_access_token":"tok-1"}`}
	s := start(t, Options{Source: severalComponents(), Exchange: e, Upstream: UpstreamOptions{URL: up.URL}})
	handle2 := "wxs_a_" + merchant + "_" + component2 + "_"
	f := func(method, target, body, want string, headers ...string) {
		t.Helper()
		if got := s.call(t, method, target, body, headers...); !strings.Contains(got.body, want) {
			t.Errorf("%s %s %s %v: %d %q, want %q in it", method, target, body, headers, got.status, got.body, want)
		}
	}
	const several = "has authorised several components"
	different := "names two components, " + component + " and " + component2
	in2 := `"component_appid":"` + component2 + `"`

	f("GET", "/cgi-bin/token?secret=x&appid="+merchant, "", several)
	f("GET", "/cgi-bin/token?secret=x&appid="+merchant, "", handle2, throughComponent(component2))
	f("GET", "/cgi-bin/token?secret=x&component_appid="+component2+"&appid="+merchant, "", handle2)
	f("GET", "/cgi-bin/token?secret=x&component_appid="+component2+"&appid="+merchant, "", different, throughComponent(component))
	f("POST", "/cgi-bin/stable_token", `{"appid":"`+merchant+`"}`, several)
	f("POST", "/cgi-bin/stable_token", `{"appid":"`+merchant+`",`+in2+`}`, handle2)
	f("POST", "/cgi-bin/stable_token?component_appid="+component, `{"appid":"`+merchant+`",`+in2+`}`, different)
	f("POST", "/cgi-bin/stable_token", `{"appid":"`+merchant+`",`+in2+`,"component_appid":"`+component+`"}`, "component_appid is given twice")
	f("POST", "/cgi-bin/stable_token", "appid="+merchant+"&component_appid="+component2, handle2)

	const path = "/cgi-bin/component/"
	f("POST", path+"api_authorizer_token", `{"authorizer_appid":"`+merchant+`"}`, several)
	f("POST", path+"api_authorizer_token", `{"authorizer_appid":"`+merchant+`",`+in2+`}`, handle2)
	f("POST", path+"api_authorizer_token", `{"authorizer_appid":"`+merchant2+`",`+in2+`}`, merchant2+" has not authorised component "+component2)
	f("POST", path+"api_authorizer_token?component_access_token="+s.keys.issue(componentKey(component2), nil), `{"authorizer_appid":"`+merchant+`"}`, handle2)
	f("POST", path+"api_authorizer_token?component_access_token="+s.keys.issue(componentKey(component), nil), `{"authorizer_appid":"`+merchant+`",`+in2+`}`, different)
	f("POST", path+"api_component_token", `{}`, "wxs_c_"+component2+"_", throughComponent(component2))
	f("POST", path+"api_component_token", `{`+in2+`}`, different, throughComponent(component))

	for _, name := range []string{"api_get_authorizer_info", "api_get_authorizer_list", "api_query_auth"} {
		f("POST", path+name, `{"authorization_code":"c",`+in2+`}`, handle2)
		f("POST", path+name, `{"authorization_code":"c"}`, handle2, throughComponent(component2))
		// Who is only about to authorise it may be named beside it; another component not.
		f("POST", path+name, `{"authorization_code":"c",`+in2+`}`, handle2, "X-Wechat-Appid: "+merchant2)
		f("POST", path+name, `{"authorization_code":"c",`+in2+`}`, "two components, "+component2+" and "+component, "X-Wechat-Appid: "+component)
		f("POST", path+name, `{"authorization_code":"c",`+in2+`}`, different, throughComponent(component))
	}

	const ticket = "/cgi-bin/ticket/getticket?type=jsapi"
	f("GET", ticket, "", several, forMerchant())
	f("GET", ticket, "", tokenOf(broker.KindJSAPITicket, component2), forMerchant(), throughComponent(component2))
	f("GET", ticket+"&access_token="+s.keys.issue(authorizerKey(merchant), nil), "", tokenOf(broker.KindJSAPITicket, component))

	const login = "/sns/jscode2session?js_code=c&appid="
	f("GET", login+merchant, "", several)
	f("GET", login+merchant, "", "&component_appid="+component2+"&component_access_token="+tokenText(componentKey(component2), 1), throughComponent(component2))
	f("GET", login+merchant+"&component_appid="+component2, "", "&component_appid="+component2+"&component_access_token="+tokenText(componentKey(component2), 1))
	f("GET", login+merchant+"&component_appid="+component2, "", different, throughComponent(component))
	f("GET", login+merchant, "", "has not authorised component "+component3, throughComponent(component3))
	f("POST", path+"clear_quota/v2", `{"appsecret":"x","component_appid":"`+component2+`"}`, different, throughComponent(component))
}

// TestComponent_HeaderIsNotForwarded wants the header to stay here on every kind of call, and
// component_appid to go on as it was sent.
func TestComponent_HeaderIsNotForwarded(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: severalComponents(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.url}})
	for _, target := range []string{
		"/cgi-bin/menu/get?from_appid=" + merchant, "/wxa/gettemplatelist", "/no/such/path?from_appid=" + merchant, "/sns/userinfo?access_token=u",
		"/sns/jscode2session?js_code=c&appid=" + merchant, "/cgi-bin/component/clear_quota/v2?appsecret=x&component_appid=" + component2,
		"/sns/component/jscode2session?js_code=c&component_appid=" + component2 + "&appid=" + merchant, "/cgi-bin/menu/get?component_appid=%77x00000000000000c2&from_appid=" + merchant,
	} {
		got := rawCall(t, s.addr, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n"+throughComponent(component2)+"\r\nConnection: close\r\n\r\n")
		seen := up.take()
		if !strings.HasPrefix(got, "HTTP/1.1 200") || len(seen) != 1 {
			t.Fatalf("%s: %.200q, WeChat saw %q", target, got, seen)
		}
		wantWithout(t, seen[0], map[string]bool{"x-wechat-component": true})
		if _, sent, ok := strings.Cut(target, "component_appid="); ok {
			value, _, _ := strings.Cut(sent, "&")
			if strings.Count(seen[0], "component_appid=") != 1 || !strings.Contains(seen[0], "component_appid="+value) {
				t.Errorf("%s: WeChat saw %.200q", target, seen[0])
			}
		}
	}
}

// The log line of a call that was refused has the component, as far as it is known.
func TestComponent_InTheLog(t *testing.T) {
	src := severalComponents()
	key := broker.Key{Kind: broker.KindAuthorizer, AppID: merchant, Component: component2}
	src.errs[key] = &broker.StateError{Key: key, State: broker.StateUnauthorized, Reason: "taken back"}
	s := start(t, Options{Source: src})
	f := func(want string, headers ...string) {
		t.Helper()
		before := len(s.logged.String())
		s.call(t, "GET", "/cgi-bin/menu/get", "", headers...)
		if line := s.logged.String()[before:]; !strings.Contains(line, "appid="+merchant+" component="+want+" ") {
			t.Errorf("%v: want component %q: %s", headers, want, line)
		}
	}
	f(component2, forMerchant(), throughComponent(component2))
	f(component3, forMerchant(), throughComponent(component3))
	f(`""`, forMerchant())
}
