package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// startLogins starts a sidecar before a WeChat that says what it was sent.
func startLogins(t *testing.T, o Options) (*sidecar, *weixin) {
	t.Helper()
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, b)
	})
	if o.Source == nil {
		o.Source = platform()
	}
	o.Exchange, o.Upstream = &exchange{}, UpstreamOptions{URL: up.URL}
	return start(t, o), up
}

// A login for a merchant goes out in the component's form, and every other parameter
// as it came. An own account's goes out as it is, with its secret.
func TestLogin_ComponentForm(t *testing.T) {
	s, _ := startLogins(t, Options{DefaultAppID: own})
	const token = "component_access_token=tok-component-" + component + "-1"
	f := func(method, target, body, want string) {
		t.Helper()
		if got := s.call(t, method, target, body); got.body != want {
			t.Errorf("%s %s %s = %d %q, want %q", method, target, body, got.status, got.body, want)
		}
	}
	beside := "&component_appid=" + component + "&" + token
	f("GET", "/sns/jscode2session?appid="+merchant+"&secret=x&js_code=a%2Fb+c&grant_type=authorization_code", "",
		"GET /sns/component/jscode2session?appid="+merchant+"&js_code=a%2Fb+c&grant_type=authorization_code"+beside+" ")
	f("GET", "/sns/oauth2/access_token?secret=x&code=c&appid="+merchant+"&&odd", "",
		"GET /sns/oauth2/component/access_token?code=c&appid="+merchant+"&&odd"+beside+" ")
	f("GET", "/sns/oauth2/refresh_token?appid="+merchant+"&grant_type=refresh_token&refresh_token=r", "",
		"GET /sns/oauth2/component/refresh_token?appid="+merchant+"&grant_type=refresh_token&refresh_token=r"+beside+" ")
	f("GET", "/sns/jscode2session?appid="+merchant+"&js_code=c", "", "GET /sns/component/jscode2session?appid="+merchant+"&js_code=c"+beside+" ")
	f("GET", "/sns/jscode2session/?appid="+merchant+"&js_code=c", "", "GET /sns/component/jscode2session?appid="+merchant+"&js_code=c"+beside+" ")
	f("GET", "/sns/jscode2session?component_appid="+component+"&appid="+merchant+"&secret=x&access_token=y&from_appid="+merchant2, "",
		"GET /sns/component/jscode2session?component_appid="+component+"&appid="+merchant+"&"+token+" ")
	f("POST", "/sns/oauth2/access_token", "appid="+merchant+"&secret=x&code=c",
		"POST /sns/oauth2/component/access_token?"+token+" appid="+merchant+"&code=c&component_appid="+component)
	f("POST", "/sns/oauth2/access_token?appid="+merchant, "secret=x&code=c",
		"POST /sns/oauth2/component/access_token?appid="+merchant+beside+" code=c")
	f("GET", "/sns/jscode2session?appid="+own+"&secret=x&js_code=c", "", "GET /sns/jscode2session?appid="+own+"&secret=real%26"+own+"&js_code=c ")
	f("GET", "/sns/oauth2/refresh_token?appid="+own+"&refresh_token=r", "", "GET /sns/oauth2/refresh_token?appid="+own+"&refresh_token=r ")
	f("GET", "/sns/oauth2/refresh_token?appid=wxdeadbeefdeadbeef&refresh_token=r", "", "GET /sns/oauth2/refresh_token?appid=wxdeadbeefdeadbeef&refresh_token=r ")
	f("GET", "/sns/component/jscode2session?appid="+merchant+"&component_appid="+component, "",
		"GET /sns/component/jscode2session?appid="+merchant+"&component_appid="+component+"&"+token+" ")
}

func TestLogin_Refused(t *testing.T) {
	src := twoComponents()
	s, up := startLogins(t, Options{Source: src})
	f := func(method, target, body, say string) {
		t.Helper()
		if got := s.call(t, method, target, body); got.status != 400 || got.fault() != "bad_request" || !strings.Contains(got.body, say) {
			t.Errorf("%s %s %s: %d %q, want %q in it", method, target, body, got.status, got.body, say)
		}
	}
	const path = "/sns/jscode2session"
	if got := s.call(t, "GET", path+"?appid="+merchant+"&component_appid="+component2, ""); got.fault() != "unknown_account" || !strings.Contains(got.body, "has not authorised component "+component2) {
		t.Errorf("a component that the merchant has not authorised: %d %q", got.status, got.body)
	}
	f("GET", path+"?appid="+merchant+"&component_appid="+component+"&component_appid="+component, "", "component_appid is given twice")
	f("GET", path+"?appid="+merchant+"&appid="+merchant, "", "appid is given twice")
	f("GET", path+"?appid="+merchant+"&secret=a&secret=b", "", "secret is given twice")
	f("GET", "/sns/oauth2/refresh_token?appid="+merchant+"&secret=a&secret=b", "", "secret is given twice")
	f("POST", path, `{"appid":"`+merchant+`","js_code":"c"}`, "a login takes appid in the query")
	f("POST", path+"?appid="+merchant, `{"secret":"x"}`, "a login takes secret in the query")
	// While nobody can say who has authorised the component, nobody's secret goes out.
	src.absent = &broker.StateError{State: broker.StateWaitingTicket}
	if got := s.call(t, "GET", path+"?appid=wxdeadbeefdeadbeef&secret=x", ""); got.status != 503 || got.fault() != "waiting_ticket" {
		t.Errorf("%d %q", got.status, got.body)
	}
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d calls reached WeChat", n)
	}
}

// What callers may do goes by the path that the app called; a denied component form
// is not had by another name either. The key never leaves.
func TestLogin_Callers(t *testing.T) {
	shop, till, denied := callerOf("shop", "k1"), callerOf("till", "k2"), callerOf("denied", "k3")
	shop.AppIDs, shop.Allow = []string{merchant}, []string{"/sns/jscode2session", "/sns/oauth2/refresh_token"}
	till.Allow = []string{"/sns/component/*"}
	denied.Deny = []string{"/sns/component/*"}
	s, up := startLogins(t, Options{Callers: []Caller{shop, till, denied}})
	const path = "/sns/jscode2session?js_code=c&appid="
	f := func(target, say string, headers ...string) {
		t.Helper()
		before := up.calls.Load()
		got := s.call(t, "GET", target, "", headers...)
		if say == "" && (got.status != 200 || got.fault() != "") || say != "" && (got.fault() != "caller_refused" || !strings.Contains(got.body, say) || up.calls.Load() != before) {
			t.Errorf("%s %v: %d %q, want %q", target, headers, got.status, got.body, say)
		}
		for _, key := range []string{"k1", "k2", "k3"} {
			if say == "" && strings.Contains(got.body, key) {
				t.Errorf("%s: the key left: %s", target, got.body)
			}
		}
	}
	f(path+merchant+"&secret=k1", "")
	f(path+merchant+"&secret=k2", "", "X-Wxsidecar-Key: k1")
	f(path+merchant2+"&secret=k1", "appids")
	f(path+merchant+"&secret=k2", "not in allow")
	f(path+merchant+"&secret=k3", "deny has /sns/component/*")
	f(path+own+"&secret=k3", "")
	f(path+merchant+"&secret=x", "X-Wxsidecar-Key")
	f(path+merchant, "X-Wxsidecar-Key")
	const refresh = "/sns/oauth2/refresh_token?refresh_token=r&appid="
	f(refresh+merchant, "", "X-Wxsidecar-Key: k1")
	f(refresh+merchant2, "appids", "X-Wxsidecar-Key: k1")
	f(refresh+merchant+"&secret=k1", "X-Wxsidecar-Key")
}

// An SDK made for one account serves a merchant against WeChat's own rules.
func TestEndToEnd_MerchantLogin(t *testing.T) {
	w := newWorld(t, Options{})
	const grant = "&grant_type=authorization_code"
	got := decode(t, w.fine(t, "GET", "/sns/jscode2session?appid="+merchant+"&secret=x&js_code="+w.sim.LoginCode(merchant)+grant, ""))
	if got["session_key"] == nil {
		t.Errorf("jscode2session: %v", got)
	}
	user := decode(t, w.sidecar.call(t, "GET", "/sns/oauth2/access_token?appid="+merchant+"&secret=x&code="+w.sim.LoginCode(merchant)+grant, ""))
	refresh, _ := user["refresh_token"].(string)
	again := decode(t, w.sidecar.call(t, "GET", "/sns/oauth2/refresh_token?appid="+merchant+"&grant_type=refresh_token&refresh_token="+refresh, ""))
	if refresh == "" || again["access_token"] == nil {
		t.Errorf("access_token: %v, refresh_token: %v", user, again)
	}
	w.said.Reset() // a user's tokens are the app's own
	w.sim.Displace(component)
	w.fine(t, "GET", "/sns/jscode2session?appid="+merchant+"&secret=x&js_code="+w.sim.LoginCode(merchant)+grant, "")
}

// Spent codes that WeChat answers 40001 in a component's form must not let end users
// renew the component's token at will.
func TestEndToEnd_SpentLoginCodes(t *testing.T) {
	for _, path := range []string{"/sns/jscode2session", "/sns/component/jscode2session"} {
		w := newWorld(t, Options{})
		target := path + "?grant_type=authorization_code&appid=" + merchant + "&component_appid=" + component + "&js_code="
		w.fine(t, "GET", target+w.sim.LoginCode(merchant), "")
		w.sim.Fault("/sns/component/jscode2session", wechattest.Fault{Errcode: 40001})
		before := w.sim.TokensIssued(component)
		for range 20 {
			if got := w.sidecar.call(t, "GET", target+"spent", ""); !strings.Contains(got.body, "40001") {
				t.Errorf("%d %q, want WeChat's answer", got.status, got.body)
			}
			w.fine(t, "GET", "/wxa/gettemplatelist", "")
		}
		if n := w.sim.TokensIssued(component) - before; n > 1 {
			t.Errorf("%s: 20 spent codes forced %d renewals of the component, want one", path, n)
		}
		// A real displacement is cured all the same.
		w.sim.ClearFaults()
		w.sim.Displace(component)
		w.fine(t, "GET", "/wxa/gettemplatelist", "")
		w.fine(t, "GET", target+w.sim.LoginCode(merchant), "")
	}
}
