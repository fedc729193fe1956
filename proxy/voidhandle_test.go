package proxy

import (
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
)

// mustBeDead wants a void handle answered as WeChat answers a dead token, in words by
// which every SDK knows one.
func (a answer) mustBeDead(t *testing.T, what string) {
	t.Helper()
	errcode, errmsg := 0.0, ""
	if a.body != "" { // not to a HEAD
		m := decode(t, a)
		errcode, _ = m["errcode"].(float64)
		errmsg, _ = m["errmsg"].(string)
	}
	const begin, hold = "invalid credential, access_token is invalid or not latest", "42001 access_token expired"
	if a.status != 200 || a.fault() != "bad_handle" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") ||
		a.body != "" && (errcode != 40001 || !strings.HasPrefix(errmsg, begin) || !strings.Contains(errmsg, hold)) {
		t.Errorf("%s: %d %q %q, want the answer to a dead token", what, a.status, a.fault(), a.body)
	}
}

// oldHandle returns a handle of an account from before the keys changed.
func oldHandle(kind broker.Kind, appid string) string {
	key := broker.Key{Kind: kind, AppID: appid}
	if kind == broker.KindAuthorizer {
		key = authorizerKey(appid)
	}
	return handleKeys{[]byte("an earlier seal key")}.issue(key, nil)
}

func TestVoidHandle_IsADeadToken(t *testing.T) {
	for _, as200 := range []bool{false, true} {
		up := newWeChat(t, echo)
		s := start(t, Options{
			Source: ticketed(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}, DefaultAppID: own,
			ErrorsAsHTTP200: as200, Callers: []Caller{callerOf("shop", "k1"), callerOf("gone", "k2")},
		})
		c := s.callers.Load()
		gone := s.keys.issue(authorizerKey(merchant), c.all[1])
		if err := s.SetCallers([]Caller{callerOf("shop", "k1")}); err != nil {
			t.Fatal(err)
		}
		good := s.keys.issue(authorizerKey(merchant), c.all[0])
		for what, handle := range map[string]string{
			"another seal key": oldHandle(broker.KindAuthorizer, merchant), "a caller that is gone": gone,
			"a wrong MAC": good[:len(good)-4] + "AAAA", "cut short": good[:12], "another component": strings.Replace(good, component, component2, 1), "without its component": strings.Replace(good, "_"+component, "", 1),
			"made without callers": s.keys.issue(authorizerKey(merchant), nil), "no appid": "wxs_a__AAAA", "percent escapes": "%77xs_a_" + merchant + "%5fAAAA",
		} {
			for _, method := range []string{"GET", "POST", "HEAD", "PUT"} {
				body := ""
				if method == "POST" {
					body = "{}"
				}
				for _, headers := range [][]string{nil, {"X-Wxsidecar-Key: k1", forMerchant()}} {
					s.call(t, method, "/cgi-bin/menu/get?access_token="+handle, body, headers...).mustBeDead(t, what)
				}
				s.call(t, method, "/wxa/gettemplatelist?component_access_token="+handle, body).mustBeDead(t, what)
				s.call(t, method, "/no/such/path?access_token="+handle, body).mustBeDead(t, what)
			}
		}
		if n := up.calls.Load(); n != 0 {
			t.Errorf("%d calls reached WeChat", n)
		}
		// A user's token is not ours to judge, whatever it looks like.
		if got := s.call(t, "GET", "/sns/userinfo?access_token=wxs_a_x", "", "X-Wxsidecar-Key: k1"); got.status != 200 || got.fault() != "" {
			t.Errorf("a user's token: %d %q", got.status, got.body)
		}
	}
}

// Where we answer ourselves, a void handle is as good as any placeholder. Who is not
// known by a key or a secret has only the handle, and is told to fetch a new one.
func TestVoidHandle_CountsAsPlaceholder(t *testing.T) {
	up := newWeChat(t, echo)
	e := &exchange{answer: "{}"}
	shop := callerOf("shop", "k1")
	shop.AppIDs = []string{merchant, component, own}
	s := start(t, Options{Source: ticketed(), Exchange: e, Upstream: UpstreamOptions{URL: up.URL}, DefaultAppID: own, Callers: []Caller{shop}})
	void, old := oldHandle(broker.KindAuthorizer, merchant), oldHandle(broker.KindComponent, component)
	const key = "X-Wxsidecar-Key: k1"
	const path = "/cgi-bin/component/"
	served := func(method, target, body, want string, headers ...string) {
		t.Helper()
		if got := s.call(t, method, target, body, headers...); got.status != 200 || got.fault() != "" || !strings.Contains(got.body, want) {
			t.Errorf("%s %s %s %v: %d %q, want %q in it", method, target, body, headers, got.status, got.body, want)
		}
	}
	served("GET", "/cgi-bin/token?appid="+merchant+"&secret=k1&access_token="+void, "", `"wxs_a_`+merchant)
	served("POST", "/cgi-bin/stable_token?access_token="+void, `{"appid":"`+merchant+`","secret":"k1"}`, `"wxs_a_`+merchant)
	served("POST", path+"api_component_token?component_access_token="+old, `{"component_appid":"`+component+`","component_appsecret":"k1"}`, `"wxs_c_`+component)
	authorizer := `{"component_appid":"` + component + `","authorizer_appid":"` + merchant + `"}`
	served("POST", path+"api_authorizer_token?component_access_token="+old, authorizer, `"wxs_a_`+merchant, key)
	served("POST", path+"api_query_auth?component_access_token="+old, `{"component_appid":"`+component+`","authorization_code":"c"}`, "{}", key)
	for _, name := range []string{"api_get_authorizer_info", "api_get_authorizer_list"} {
		served("POST", path+name+"?component_access_token="+old, `{"component_appid":"`+component+`"}`, "=tok-component-"+component, key)
	}
	served("GET", "/sns/jscode2session?appid="+own+"&js_code=c&secret=k1&access_token="+void, "", "js_code=c")
	const ticket = "/cgi-bin/ticket/getticket?type=jsapi&access_token="
	served("GET", ticket+void, "", "tok-jsapi_ticket-"+merchant, key) // not the default account's
	served("GET", ticket+oldHandle(broker.KindAccount, own), "", "tok-jsapi_ticket-"+merchant, key, forMerchant())

	before := up.calls.Load()
	traded := len(e.codes)
	s.call(t, "GET", ticket+void, "").mustBeDead(t, "getticket")
	s.call(t, "GET", "/cgi-bin/ticket/getticket?type=sdk&access_token="+void, "", key).mustBeDead(t, "a type that is not kept")
	s.call(t, "POST", path+"api_authorizer_token?component_access_token="+old, authorizer).mustBeDead(t, "api_authorizer_token")
	s.call(t, "POST", path+"api_query_auth?component_access_token="+old, `{"authorization_code":"c"}`).mustBeDead(t, "api_query_auth")
	s.call(t, "POST", path+"api_get_authorizer_list?component_access_token="+old, "{}").mustBeDead(t, "api_get_authorizer_list")
	for _, target := range []string{"/cgi-bin/token?secret=no&appid=" + merchant, path + "api_component_token?component_appsecret=no"} {
		if got := s.call(t, "POST", target+"&access_token="+void, ""); got.status != 403 || got.fault() != "caller_refused" {
			t.Errorf("%s with another's secret: %d %q", target, got.status, got.body)
		}
	}
	if got := s.call(t, "GET", ticket+oldHandle(broker.KindAuthorizer, merchant2), "", key); got.fault() != "caller_refused" {
		t.Errorf("an account that the caller may not name: %d %q", got.status, got.body)
	}
	if n := up.calls.Load() - before; n != 0 || len(e.codes) != traded {
		t.Errorf("%d calls reached WeChat, and %d codes were traded", n, len(e.codes)-traded)
	}
}

// Without callers a handle is a name, whoever made it. What names nobody is void.
func TestVoidHandle_WithoutCallers(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: ticketed(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}, DefaultAppID: own})
	const menu = "/cgi-bin/menu/get?access_token="
	for _, handle := range []string{oldHandle(broker.KindAuthorizer, merchant), "wxs_a_" + merchant + "_AAAA", "wxs_a_" + merchant + "_" + component + "_AAAA"} {
		if got := s.call(t, "GET", menu+handle, ""); got.body != menu+"tok-authorizer-"+merchant+"-1" {
			t.Errorf("%s: %d %q", handle, got.status, got.body)
		}
		if got := s.call(t, "GET", "/cgi-bin/ticket/getticket?access_token="+handle, ""); !strings.Contains(got.body, "tok-jsapi_ticket-"+merchant) {
			t.Errorf("getticket, %s: %d %q", handle, got.status, got.body)
		}
	}
	before := up.calls.Load()
	for _, handle := range []string{"wxs_", "wxs_a_", "wxs_a_" + merchant, "wxs_x_" + merchant + "_AAAA", "wxs_a_a%20b_AAAA"} {
		s.call(t, "GET", menu+handle, "", forMerchant()).mustBeDead(t, handle)
		got := s.call(t, "GET", "/cgi-bin/ticket/getticket?access_token="+handle, "", forMerchant())
		if !strings.Contains(got.body, "tok-jsapi_ticket-"+merchant) {
			t.Errorf("getticket, %s: %d %q", handle, got.status, got.body)
		}
	}
	if n := up.calls.Load() - before; n != 0 {
		t.Errorf("%d calls reached WeChat", n)
	}
}

// A handle that is good for another caller is not void: the rights of who calls decide.
func TestVoidHandle_NotThatOfAnotherCaller(t *testing.T) {
	up := newWeChat(t, echo)
	shop, till := callerOf("shop", "k1"), callerOf("till", "k2")
	till.AppIDs = []string{merchant2}
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Callers: []Caller{shop, till}})
	handle := s.keys.issue(authorizerKey(merchant), s.callers.Load().all[0])
	if got := s.call(t, "GET", "/cgi-bin/menu/get?access_token="+handle, "", "X-Wxsidecar-Key: k2"); got.status != 403 || got.fault() != "caller_refused" {
		t.Errorf("%d %q", got.status, got.body)
	}
}

// A caller's key is changed without an outage: the handles of each stay good while it
// is listed, and what is fetched with one key outlives the other.
func TestCallers_KeyChangedWithoutAnOutage(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}, Callers: []Caller{callerOf("shop", "old")}})
	const menu = "/cgi-bin/menu/get?access_token="
	set := func(list ...Caller) {
		t.Helper()
		if err := s.SetCallers(list); err != nil {
			t.Fatal(err)
		}
	}
	fetch := func(key string) string {
		t.Helper()
		handle, _ := decode(t, s.call(t, "GET", "/cgi-bin/token?appid="+merchant+"&secret="+key, ""))["access_token"].(string)
		return handle
	}
	good := func(what string, handles ...string) {
		t.Helper()
		for _, handle := range handles {
			if got := s.call(t, "GET", menu+handle, ""); got.body != menu+"tok-authorizer-"+merchant+"-1" {
				t.Errorf("%s: %s: %d %q", what, handle, got.status, got.body)
			}
		}
	}
	first := fetch("old")
	set(callerOf("shop", "old", "new"))
	good("both keys are listed", first)
	second, third := fetch("new"), fetch("old")
	good("both keys are listed", first, second, third)
	// What a handle fetches is bound to that handle's key.
	byHandle := decode(t, s.call(t, "POST", "/cgi-bin/component/api_authorizer_token?component_access_token="+second, `{"authorizer_appid":"`+merchant+`"}`))
	fourth, _ := byHandle["authorizer_access_token"].(string)
	set(callerOf("shop", "new", "old"))
	good("in another order", first, second, third, fourth)
	set(callerOf("shop", "new"))
	good("the old key is gone", second, fourth)
	for _, handle := range []string{first, third} {
		s.call(t, "GET", menu+handle, "").mustBeDead(t, "the old key is gone")
	}
	if got := s.call(t, "GET", "/cgi-bin/token?appid="+merchant+"&secret=old", ""); got.fault() != "caller_refused" {
		t.Errorf("the old key: %d %q", got.status, got.body)
	}
	for _, list := range [][]Caller{
		{callerOf("shop", "a", "a")}, {callerOf("shop", "a"), callerOf("till", "b", "a")}, {callerOf("shop")},
	} {
		if err := s.SetCallers(list); err == nil {
			t.Errorf("taken: %+v", list)
		}
	}
}
