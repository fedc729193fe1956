package proxy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// exchange stands in for the broker's part in trading codes and secrets.
type exchange struct {
	mu      sync.Mutex
	answer  string
	err     error
	codes   []string
	learned []string
}

func (e *exchange) QueryAuth(_ context.Context, component string, code secret.Text) ([]byte, error) {
	e.codes = append(e.codes, component+" "+code.Reveal())
	return []byte(e.answer), e.err
}

func (e *exchange) Learn(component, appid string, token secret.Text) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.learned = append(e.learned, component+" "+appid+" "+token.Reveal())
}

func (e *exchange) Secret(appid string) (secret.Text, bool) {
	if appid == own || appid == component || appid == component2 {
		return secret.New("real&" + appid), true
	}
	return secret.Text{}, false
}

func decode(t *testing.T, a answer) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	return m
}

func ticketed() *source {
	src := platform()
	for _, key := range []broker.Key{{Kind: broker.KindJSAPITicket, AppID: merchant, Component: component}, {Kind: broker.KindWXCardTicket, AppID: merchant, Component: component}} {
		src.set(key, 1)
	}
	return src
}

func TestSDK_HandlesServe(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}})
	f := func(method, path, body, field, use, want string) {
		t.Helper()
		got := decode(t, s.call(t, method, path, body))
		handle, _ := got[field].(string)
		if !strings.HasPrefix(handle, "wxs_") || got["expires_in"] != 7200.0 {
			t.Errorf("%s %s %s = %v", method, path, body, got)
			return
		}
		if used := s.call(t, "GET", use+handle, ""); used.body != want {
			t.Errorf("%s: %d %q, want %q", use, used.status, used.body, want)
		}
	}
	const menu, wantMenu = "/cgi-bin/menu/get?access_token=", "/cgi-bin/menu/get?access_token=tok-"
	f("GET", "/cgi-bin/token?grant_type=client_credential&appid="+own+"&secret=x", "", "access_token", menu, wantMenu+"account-"+own+"-1")
	f("GET", "/cgi-bin/token?appid="+merchant+"&secret=", "", "access_token", menu, wantMenu+"authorizer-"+merchant+"-1")
	f("POST", "/cgi-bin/stable_token", `{"grant_type":"client_credential","appid":"`+own+`","secret":null}`, "access_token", menu, wantMenu+"account-"+own+"-1")
	f("POST", "/cgi-bin/token", "appid="+own+"&secret=x", "access_token", menu, wantMenu+"account-"+own+"-1")
	f("POST", "/cgi-bin/component/api_component_token", `{"component_appid":"`+component+`","component_appsecret":"x","component_verify_ticket":null}`,
		"component_access_token", "/wxa/gettemplatelist?component_access_token=", "/wxa/gettemplatelist?access_token=tok-component-"+component+"-1")
	f("POST", "/cgi-bin/component/api_component_token", `{}`, "component_access_token",
		"/wxa/gettemplatelist?access_token=", "/wxa/gettemplatelist?access_token=tok-component-"+component+"-1")
	f("POST", "/cgi-bin/component/api_authorizer_token?component_access_token=x", `{"authorizer_appid":"`+merchant2+`","authorizer_refresh_token":null}`,
		"authorizer_access_token", menu, wantMenu+"authorizer-"+merchant2+"-1")
	f("GET", "/"+merchant2+"/cgi-bin/token?secret=x", "", "access_token", menu, wantMenu+"authorizer-"+merchant2+"-1")
	if n := up.calls.Load(); n != 8 {
		t.Errorf("%d calls reached WeChat, want those 8 that used a handle", n)
	}
	got := decode(t, s.call(t, "POST", "/cgi-bin/component/api_authorizer_token", `{"authorizer_appid":"`+merchant+`"}`))
	if got["authorizer_refresh_token"] != placeholder {
		t.Errorf("refresh token = %v", got["authorizer_refresh_token"])
	}
	// The first token that is not empty counts, wherever it stands.
	first := s.keys.issue(authorizerKey(merchant2), nil)
	for _, query := range []string{first, "&access_token=" + first, first + "&access_token="} {
		if used := s.call(t, "GET", menu+query, ""); used.body != wantMenu+"authorizer-"+merchant2+"-1" {
			t.Errorf("%s: %d %q", query, used.status, used.body)
		}
	}
	// It counts as well where the client escapes what needs no escape, and does not
	// fall to the header, or to a default.
	escaped := strings.NewReplacer("_", "%5F", "-", "%2d").Replace(first)
	if used := s.call(t, "GET", menu+escaped, "", forMerchant()); used.body != wantMenu+"authorizer-"+merchant2+"-1" {
		t.Errorf("%s: %d %q", escaped, used.status, used.body)
	}
	// A handle beats the header.
	handle := s.keys.issue(broker.Key{Kind: broker.KindAccount, AppID: own}, nil)
	if used := s.call(t, "GET", menu+handle, "", forMerchant()); used.body != wantMenu+"account-"+own+"-1" {
		t.Errorf("handle and header: %q", used.body)
	}
}

func TestSDK_Faults(t *testing.T) {
	s := start(t, Options{Source: platform(), Exchange: &exchange{}})
	f := func(method, path, body string, status int, errcode float64) {
		t.Helper()
		a := s.call(t, method, path, body)
		if got := decode(t, a); a.status != status || got["errcode"] != errcode {
			t.Errorf("%s %s %s = %d %s, want %d %v", method, path, body, a.status, a.body, status, errcode)
		}
	}
	f("GET", "/cgi-bin/token?appid="+component, "", 400, 61024)
	f("GET", "/cgi-bin/token?appid=wxdeadbeefdeadbeef", "", 404, 40013)
	f("GET", "/cgi-bin/token?appid=%0A", "", 400, 48001)
	f("GET", "/cgi-bin/token?appid=%22", "", 400, 48001)
	f("GET", "/cgi-bin/token", "", 400, 40013)
	f("POST", "/cgi-bin/component/api_component_token", `{"component_appid":"`+merchant+`"}`, 404, 40013)
	f("POST", "/cgi-bin/component/api_authorizer_token", `{"authorizer_appid":"`+component+`"}`, 404, 40013)
	f("POST", "/cgi-bin/component/api_query_auth", `{"component_appid":"`+component+`"}`, 400, 47001)
	f("POST", "/cgi-bin/stable_token", strings.Repeat("x", formBytes+1), 413, 48001)
}

// What limits the bodies that are kept to be sent again does not limit the forms
// that must be read.
func TestSDK_FormsAndReplayLimits(t *testing.T) {
	f := func(limits Limits, size int, chunked bool, status int, code string) {
		t.Helper()
		s := start(t, Options{Source: platform(), Limits: limits})
		form := `{"appid":"` + merchant + `","pad":"`
		form += strings.Repeat("p", size-len(form)-2) + `"}`
		var body io.Reader = strings.NewReader(form)
		if chunked {
			body = io.MultiReader(body) // hides the length
		}
		req, err := http.NewRequest("POST", s.url+"/cgi-bin/stable_token", body)
		if err != nil {
			t.Fatal(err)
		}
		got := s.do(req)
		if got.status != status || got.fault() != code || (got.header.Get("Retry-After") != "") != (status == 429) {
			t.Errorf("%d bytes, chunked %v, %+v: %d %s %.200s, want %d %s", size, chunked, limits, got.status, got.fault(), got.body, status, code)
		}
	}
	f(Limits{ReplayBody: 16}, 200, false, 200, "")
	f(Limits{ReplayBody: 16}, 200, true, 200, "")
	f(Limits{}, formBytes, false, 200, "")
	f(Limits{}, formBytes+1, false, 413, "body_too_large")
	f(Limits{}, formBytes, true, 200, "")
	f(Limits{}, formBytes+1, true, 413, "body_too_large")
	f(Limits{ReplayMemory: 100}, 200, false, 429, "too_many_requests")
	f(Limits{ReplayMemory: 100}, 200, true, 429, "too_many_requests")
}

func TestSDK_Exposed(t *testing.T) {
	s := start(t, Options{Source: platform(), ExposeTokens: true})
	got := decode(t, s.call(t, "GET", "/cgi-bin/token?appid="+own, ""))
	if got["access_token"] != tokenText(broker.Key{Kind: broker.KindAccount, AppID: own}, 1) || got["expires_in"] != 7200.0 {
		t.Errorf("%v", got)
	}
}

func TestSDK_Tickets(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: ticketed(), Upstream: UpstreamOptions{URL: up.URL}})
	f := func(query, want string) {
		t.Helper()
		if got := s.call(t, "GET", "/cgi-bin/ticket/getticket"+query, "", forMerchant()); got.body != want {
			t.Errorf("%s: %d %q, want %q", query, got.status, got.body, want)
		}
	}
	f("?type=jsapi&access_token=x", `{"errcode":0,"errmsg":"ok","ticket":"tok-jsapi_ticket-`+merchant+`-1","expires_in":7200}`)
	f("?type=wx_card", `{"errcode":0,"errmsg":"ok","ticket":"tok-wx_card_ticket-`+merchant+`-1","expires_in":7200}`)
	f("?type=sdk", "/cgi-bin/ticket/getticket?type=sdk&access_token=tok-authorizer-"+merchant+"-1")
}

// A component has no pages, in whatever way a call names one, and whatever it asks for.
func TestSDK_TicketsOfAComponent(t *testing.T) {
	up := newWeChat(t, echo)
	src := ticketed()
	s := start(t, Options{Source: src, Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}})
	f := func(method, target, body string, headers ...string) {
		t.Helper()
		got := s.call(t, method, target, body, headers...)
		if got.status != 400 || got.fault() != "bad_request" || !strings.Contains(got.body, "name the account") {
			t.Errorf("%s %s %v: %d %q", method, target, headers, got.status, got.body)
		}
	}
	const path = "/cgi-bin/ticket/getticket"
	for _, kind := range []string{"?type=jsapi", "?type=wx_card", "?type=sdk", "?", "?type="} {
		f("GET", path+kind+"&component_access_token=x", "")
		f("GET", path+kind+"&component_access_token=x", "", forMerchant())
		f("GET", path+kind, "", "X-Wechat-Appid: "+component)
		f("GET", "/"+component+path+kind, "")
		f("GET", path+kind+"&from_appid="+component, "")
		f("POST", path+kind+"&access_token="+s.keys.issue(broker.Key{Kind: broker.KindComponent, AppID: component}, nil), "{}")
	}
	f("POST", path+"?component_access_token=x", "type=wx_card")
	src.add(broker.Account{AppID: component2, Kind: broker.KindComponent, Component: component2})
	f("GET", path+"?type=jsapi&component_access_token=x", "")
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d calls reached WeChat", n)
	}
}

// The type counts wherever it stands, and only once.
func TestSDK_TicketsTypeInTheBody(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: ticketed(), Upstream: UpstreamOptions{URL: up.URL}})
	f := func(target, body, want string) {
		t.Helper()
		if got := s.call(t, "POST", "/cgi-bin/ticket/getticket"+target, body, forMerchant()); !strings.Contains(got.body, want) {
			t.Errorf("%s %s: %d %q, want %q in it", target, body, got.status, got.body, want)
		}
	}
	f("", `{"type":"wx_card"}`, "tok-wx_card_ticket-")
	f("", "type=wx_card", "tok-wx_card_ticket-")
	f("?type=wx_card", "{}", "tok-wx_card_ticket-")
	f("", "", "tok-jsapi_ticket-")
	f("", `{"type":"sdk"}`, "/cgi-bin/ticket/getticket?access_token=tok-authorizer-")
	f("?type=jsapi&type=wx_card", "", "type is given twice")
	f("?type=jsapi", `{"type":"wx_card"}`, "type is given twice")
}

func TestExchange_QueryAuth(t *testing.T) {
	e := &exchange{answer: `{"authorization_info":{"authorizer_appid":"` + merchant + `","authorizer_access_token":"tok-1","expires_in":7200,` +
		`"authorizer_refresh_token":"tok-2","func_info":[{"a":"b\u4f60"}]}}`}
	s := start(t, Options{Source: platform(), Exchange: e})
	got := s.call(t, "POST", "/cgi-bin/component/api_query_auth", `{"component_appid":"`+component+`","authorization_code":"code"}`)
	want := `{"authorization_info":{"authorizer_appid":"` + merchant + `","authorizer_access_token":"` + s.keys.issue(authorizerKey(merchant), nil) +
		`","expires_in":7200,"authorizer_refresh_token":"held_by_wxsidecar","func_info":[{"a":"b\u4f60"}]}}`
	if got.body != want {
		t.Errorf("%s\nwant\n%s", got.body, want)
	}
	if !slices.Equal(e.codes, []string{component + " code"}) || !slices.Equal(e.learned, []string{component + " " + merchant + " tok-2"}) {
		t.Errorf("traded %q, learned %q", e.codes, e.learned)
	}
	e.err = &wechat.APIError{Path: "/x", Code: 61010, Msg: `code is "expired"`}
	got = s.call(t, "POST", "/cgi-bin/component/api_query_auth", `{"authorization_code":"code"}`)
	if got.status != 200 || got.body != `{"errcode":61010,"errmsg":"code is \"expired\""}` || got.fault() != "" {
		t.Errorf("refused: %d %q %q", got.status, got.body, got.fault())
	}
	e.err = &broker.StateError{State: broker.StateWaitingTicket, RetryAfter: time.Second}
	if got = s.call(t, "POST", "/cgi-bin/component/api_query_auth", `{"authorization_code":"code"}`); got.fault() != "waiting_ticket" {
		t.Errorf("without a token: %d %q", got.status, got.body)
	}
}

func TestExchange_Masked(t *testing.T) {
	long := fmt.Sprintf(`,"pad":"%s"}`, strings.Repeat("p", 300<<10))
	answers := map[string]string{
		"/cgi-bin/component/api_get_authorizer_info": `{"authorizer_info":{"nick_name":"\ud83d\ude00"},"authorization_info": {"authorizer_appid":"` + merchant + `", "authorizer_refresh_token" : "tok-r"} }`,
		"/cgi-bin/component/api_get_authorizer_list": `{"total_count":3,"list":[{"authorizer_appid":"` + merchant + `","refresh_token":"tok-1","auth_time":1},` +
			`{"refresh_token":"tok-2","authorizer_appid":"` + merchant2 + `"},{"authorizer_appid":"wx3","refresh_token":""}]` + long,
	}
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answers[r.URL.Path]) })
	e := &exchange{}
	s := start(t, Options{Source: platform(), Exchange: e, Upstream: UpstreamOptions{URL: up.URL}})
	for path, original := range answers {
		got := s.call(t, "POST", path, `{"component_appid":"`+component+`"}`)
		want := original
		for _, token := range []string{"tok-r", "tok-1", "tok-2"} {
			want = strings.ReplaceAll(want, token, placeholder)
		}
		if got.body != want {
			t.Errorf("%s: %.300s\nwant\n%.300s", path, got.body, want)
		}
	}
	slices.Sort(e.learned)
	want := []string{component + " " + merchant + " tok-1", component + " " + merchant + " tok-r", component + " " + merchant2 + " tok-2"}
	if !slices.Equal(e.learned, want) {
		t.Errorf("learned %q, want %q", e.learned, want)
	}
	// What cannot be held whole never passes.
	answers["/cgi-bin/component/api_get_authorizer_list"] = `{"list":[{"authorizer_appid":"a","refresh_token":"tok-1"}],"pad":"` + strings.Repeat("p", 2*maskBytes) + `"}`
	if got := s.call(t, "POST", "/cgi-bin/component/api_get_authorizer_list", "{}"); got.status != 504 || strings.Contains(got.body, "tok-1") {
		t.Errorf("too long: %d %.200q", got.status, got.body)
	}
}

const component2 = "wx00000000000000c2"

// twoComponents is platform with another component, which has no accounts.
func twoComponents() *source {
	src := platform()
	src.add(broker.Account{AppID: component2, Kind: broker.KindComponent, Component: component2})
	return src
}

// With several components, the token of one is asked for by its own appid in the
// form, or in the ways in which an account is named.
func TestSDK_ComponentTokenOfSeveral(t *testing.T) {
	s := start(t, Options{Source: twoComponents()})
	f := func(target, body, want string, headers ...string) {
		t.Helper()
		got := s.call(t, "POST", target, body, headers...)
		if want == "" {
			if got.status != 400 || got.fault() != "no_account" {
				t.Errorf("%s %s %v: %d %q", target, body, headers, got.status, got.body)
			}
			return
		}
		if handle, _ := decode(t, got)["component_access_token"].(string); !strings.HasPrefix(handle, "wxs_c_"+want+"_") {
			t.Errorf("%s %s %v: %d %q, want a handle of %s", target, body, headers, got.status, got.body, want)
		}
	}
	const path = "/cgi-bin/component/api_component_token"
	f(path, `{"component_appid":"`+component2+`"}`, component2, forMerchant())
	f(path, `{}`, component, forMerchant())
	f(path, `{}`, component2, "X-Wechat-Appid: "+component2)
	f("/"+component2+path, `{}`, component2)
	f(path+"?from_appid="+merchant2, `{}`, component)
	f(path, `{}`, "")
	f(path, `{}`, "", "X-Wechat-Appid: "+own)
}

// With several components, the one that the query names for WeChat is meant, whatever
// account the call names.
func TestIdentify_ComponentInTheQuery(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Query().Get("component_access_token"))
	})
	f := func(defaultAppID, named string, status int, want string, headers ...string) {
		t.Helper()
		s := start(t, Options{Source: twoComponents(), DefaultAppID: defaultAppID, Upstream: UpstreamOptions{URL: up.URL}})
		got := s.call(t, "GET", "/sns/component/jscode2session?js_code=c&component_appid="+named, "", headers...)
		if got.status != status || status == 200 && got.body != "tok-component-"+want+"-1" {
			t.Errorf("%s, default %s, %v: %d %q, want %d %s", named, defaultAppID, headers, got.status, got.body, status, want)
		}
	}
	f("", component, 200, component)
	f("", component2, 200, component2)
	f(merchant, component2, 200, component2)
	f(merchant, "", 400, "") // a variable that is not set, not a wish for the default
	f("", component2, 200, component2, forMerchant())
	f(merchant, "", 400, "", "X-Wechat-Appid: "+own)
	f("", "", 400, "")
	f("", merchant, 404, "")
	f(merchant, "wxdeadbeefdeadbeef", 404, "")
}

// With several components, the one that the body names is meant.
func TestExchange_ComponentInTheBody(t *testing.T) {
	up := newWeChat(t, echo)
	src, e := twoComponents(), &exchange{answer: "{}"}
	s := start(t, Options{Source: src, Exchange: e, Upstream: UpstreamOptions{URL: up.URL}})
	f := func(body, want string, headers ...string) {
		t.Helper()
		for _, path := range []string{"/cgi-bin/component/api_get_authorizer_list", "/cgi-bin/component/api_get_authorizer_info"} {
			if got := s.call(t, "POST", path, body, headers...); got.body != path+"?component_access_token=tok-component-"+want+"-1" {
				t.Errorf("%s %s: %d %q, want the token of %s", path, body, got.status, got.body, want)
			}
		}
	}
	f(`{"component_appid":"`+component+`"}`, component)
	f(`{"component_appid":"`+component2+`"}`, component2)
	f(`{"component_appid":"`+component2+`"}`, component2, forMerchant())
	f(`{}`, component, forMerchant())
	s.call(t, "POST", "/cgi-bin/component/api_query_auth", `{"component_appid":"`+component2+`","authorization_code":"code"}`)
	if !slices.Equal(e.codes, []string{component2 + " code"}) {
		t.Errorf("traded %q", e.codes)
	}
	unnamed := func(path, want string) {
		t.Helper()
		got := s.call(t, "POST", path, `{}`)
		if got.status != 400 || got.fault() != "no_account" || !strings.Contains(got.body, "X-Wechat-Component or X-Wechat-Appid") || !strings.Contains(got.body, want) {
			t.Errorf("%s without a component: %d %q, want %q", path, got.status, got.body, want)
		}
	}
	unnamed("/cgi-bin/component/api_create_preauthcode", "in the query, or by the handle")
	unnamed("/cgi-bin/component/api_create_preauthcode", "the body is not looked at for this path")
	unnamed("/cgi-bin/component/api_component_token", "component_appid in the query or the body")
}

// Where no component is configured, naming one would not help.
func TestComponent_NoneConfigured(t *testing.T) {
	s := start(t, Options{Source: newSource(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: nobody}})
	for _, path := range []string{"/cgi-bin/component/api_get_authorizer_list", "/cgi-bin/component/api_component_token"} {
		got := s.call(t, "POST", path, `{}`)
		if got.fault() != "no_account" || !strings.Contains(got.body, "no component is configured: add yours to components") {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
}

// No shape of such an answer lets a token through.
func TestExchange_MaskedInAnyShape(t *testing.T) {
	var answer string
	up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}})
	handle := s.keys.issue(authorizerKey(merchant), nil)
	f := func(text, want string) {
		t.Helper()
		answer = strings.ReplaceAll(text, "APPID", `"authorizer_appid":"`+merchant+`"`)
		want = strings.ReplaceAll(strings.ReplaceAll(want, "APPID", `"authorizer_appid":"`+merchant+`"`), "HANDLE", handle)
		if got := s.call(t, "POST", "/cgi-bin/component/api_get_authorizer_info", `{}`); got.status != 200 || got.body != want {
			t.Errorf("%s: %d %s, want %s", answer, got.status, got.body, want)
		}
	}
	f(`{"errcode":1,"authorization_info":{APPID,"authorizer_refresh_token":"tok-1"}}`,
		`{"errcode":1,"authorization_info":{APPID,"authorizer_refresh_token":"held_by_wxsidecar"}}`)
	f(`{"authorization_info":{"authorizer_refresh_token":"tok-1","authorizer_access_token":"tok-2"}}`,
		`{"authorization_info":{"authorizer_refresh_token":"held_by_wxsidecar","authorizer_access_token":"held_by_wxsidecar"}}`)
	f(`{"a":{"authorizer_refresh_token":"tok-1","authorizer_refresh_token":"tok-2"},"a":{"authorizer_access_token":"tok-3",APPID}}`,
		`{"a":{"authorizer_refresh_token":"held_by_wxsidecar","authorizer_refresh_token":"held_by_wxsidecar"},"a":{"authorizer_access_token":"HANDLE",APPID}}`)
	f(`[{"data":{"list":[{APPID , "refresh_token" : "t\u006fk-1"},1,"x",null,{}]}}]`, `[{"data":{"list":[{APPID , "refresh_token" : "held_by_wxsidecar"},1,"x",null,{}]}}]`)
	f("\ufeff{\"refresh_token\":\"tok-1\"}", "\ufeff{\"refresh_token\":\"held_by_wxsidecar\"}")
	f(`{"refresh_token":"","authorizer_access_token":null}`, `{"refresh_token":"","authorizer_access_token":null}`)
	f("no JSON", "no JSON")
	answer = strings.Repeat("[", 100) + `{"refresh_token":"tok-1"}` + strings.Repeat("]", 100)
	if got := s.call(t, "POST", "/cgi-bin/component/api_get_authorizer_info", `{}`); got.status != 500 || got.fault() != "internal" {
		t.Errorf("nested: %d %.100s", got.status, got.body)
	}
	answer = strings.Repeat("[", 100_000) + `{"refresh_token":"tok-1"}` + strings.Repeat("]", 100_000)
	if got := s.call(t, "POST", "/cgi-bin/component/api_get_authorizer_info", `{}`); got.status != 504 || got.fault() != "answer_unreadable" {
		t.Errorf("nested: %d %.100s", got.status, got.body)
	}
}

func TestExchange_Secrets(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.RequestURI, b)
	})
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}})
	f := func(method, path, body, want string) {
		t.Helper()
		if got := s.call(t, method, path, body); got.body != want {
			t.Errorf("%s %s %s = %d %q, want %q", method, path, body, got.status, got.body, want)
		}
	}
	f("GET", "/sns/jscode2session?appid="+own+"&secret=x&js_code=c", "", "/sns/jscode2session?appid="+own+"&secret=real%26"+own+"&js_code=c ")
	f("GET", "/sns/oauth2/access_token?secret=&appid="+own, "", "/sns/oauth2/access_token?secret=real%26"+own+"&appid="+own+" ")
	f("POST", "/cgi-bin/clear_quota/v2", `{"appid":"`+own+`", "appsecret" : null}`, `/cgi-bin/clear_quota/v2 {"appid":"`+own+`", "appsecret" : "real&`+own+`"}`)
	f("POST", "/cgi-bin/component/api_start_push_ticket", `{"component_appid":"`+component+`","component_secret":"x"}`,
		`/cgi-bin/component/api_start_push_ticket {"component_appid":"`+component+`","component_secret":"real&`+component+`"}`)
	f("POST", "/cgi-bin/clear_quota/v2", "appid="+own+"&appsecret=x", "/cgi-bin/clear_quota/v2 appid="+own+"&appsecret=real%26"+own)
	// HTTP clients leave out what is null.
	f("GET", "/sns/jscode2session?appid="+own+"&js_code=c", "", "/sns/jscode2session?appid="+own+"&js_code=c&secret=real%26"+own+" ")
	f("POST", "/cgi-bin/clear_quota/v2?appid="+own, "", "/cgi-bin/clear_quota/v2?appid="+own+"&appsecret=real%26"+own+" ")
	f("POST", "/cgi-bin/clear_quota/v2", ` {"appid":"`+own+`"}`, `/cgi-bin/clear_quota/v2  {"appsecret":"real&`+own+`","appid":"`+own+`"}`)
	f("POST", "/cgi-bin/clear_quota/v2?appid="+own, "{}", "/cgi-bin/clear_quota/v2?appid="+own+` {"appsecret":"real&`+own+`"}`)
	f("POST", "/cgi-bin/clear_quota/v2", "appid="+own, "/cgi-bin/clear_quota/v2 appid="+own+"&appsecret=real%26"+own)
	f("POST", "/cgi-bin/clear_quota/v2?appid="+own, "[1]", "/cgi-bin/clear_quota/v2?appid="+own+"&appsecret=real%26"+own+" [1]")
	// What names the account for the sidecar is not for WeChat.
	f("GET", "/sns/jscode2session?from_appid="+merchant+"&appid="+own+"&js_code=c", "", "/sns/jscode2session?appid="+own+"&js_code=c&secret=real%26"+own+" ")
	// An account that nobody knows: the app's own secret goes on.
	f("GET", "/sns/jscode2session?appid=wxdeadbeefdeadbeef&secret=mine", "", "/sns/jscode2session?appid=wxdeadbeefdeadbeef&secret=mine ")
}

func TestCallers(t *testing.T) {
	up := newWeChat(t, echo)
	shop := callerOf("shop", "k1")
	shop.AppIDs, shop.Allow, shop.Deny = []string{merchant, own, component}, []string{"/cgi-bin/*", "/wxa/gettemplatelist", "/sns/userinfo"}, []string{"/cgi-bin/clear_quota"}
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}, Callers: []Caller{callerOf("admin", "k2"), shop}})
	basic := "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("any:k1"))
	f := func(path, say string, headers ...string) answer {
		t.Helper()
		got := s.call(t, "GET", path, "", headers...)
		if say == "" && got.status != 200 || say != "" && (got.status != 403 || got.fault() != "caller_refused" || !strings.Contains(got.body, say)) {
			t.Errorf("%s %v: %d %q, want %q", path, headers, got.status, got.body, say)
		}
		return got
	}
	const key = "X-Wxsidecar-Key: k1"
	f("/cgi-bin/menu/get", "", key, forMerchant())
	f("/cgi-bin/menu/get", "", basic, forMerchant())
	f("/wxa/gettemplatelist", "", key)
	f("/sns/userinfo?access_token=u", "", key)
	f("/anything", "", "X-Wxsidecar-Key: k2", "X-Wechat-Appid: "+merchant2)
	f("/cgi-bin/menu/get", "X-Wxsidecar-Key", forMerchant())
	f("/sns/userinfo?access_token=u", "X-Wxsidecar-Key")
	f("/cgi-bin/menu/get", "matches no entry in callers", "X-Wxsidecar-Key: k3", forMerchant())
	f("/cgi-bin/menu/get", "matches no entry in callers", "Proxy-Authorization: Basic !", forMerchant())
	f("/cgi-bin/menu/get", "matches no entry in callers", "Proxy-Authorization: Bearer k1", forMerchant())
	f("/cgi-bin/menu/get", "appids", key, "X-Wechat-Appid: "+merchant2)
	f("/cgi-bin/clear_quota", "deny has /cgi-bin/clear_quota", key, forMerchant())
	f("/wxa/commit", "not in allow", key, forMerchant())
	// The key as an SDK's secret, and then the handle, which is bound to the caller.
	handle := decode(t, f("/cgi-bin/token?appid="+merchant+"&secret=k1", ""))["access_token"].(string)
	f("/cgi-bin/menu/get?access_token="+handle, "")
	f("/wxa/commit?access_token="+handle, "not in allow")
	f("/wxa/commit?access_token="+handle, "", "X-Wxsidecar-Key: k2") // who calls is who shows a key
	f("/cgi-bin/token?appid="+merchant+"&secret=k3", "X-Wxsidecar-Key")
	f("/cgi-bin/token?appid="+merchant2+"&secret=k1", "appids")
	// A caller's key that stands for a secret we do not have never leaves.
	before := up.calls.Load()
	if got := s.call(t, "GET", "/sns/jscode2session?appid=wxdeadbeefdeadbeef&secret=k2", ""); got.fault() != "no_secret" || up.calls.Load() != before {
		t.Errorf("a caller's key: %d %q", got.status, got.body)
	}
	for _, key := range []string{"k1", "k2"} {
		got := s.call(t, "GET", "/cgi-bin/clear_quota/v2?appid="+merchant+"&appsecret="+key, "", "X-Wxsidecar-Key: k2")
		if got.fault() != "no_secret" || up.calls.Load() != before {
			t.Errorf("a caller's key beside the header: %d %q", got.status, got.body)
		}
	}
	if err := s.SetCallers([]Caller{callerOf("shop", "new")}); err != nil {
		t.Fatal(err)
	}
	s.call(t, "GET", "/cgi-bin/menu/get?access_token="+handle, "").mustBeDead(t, "a handle whose caller has a new key")
}

// What a caller may not do it may not do by the paths with a treatment of their own
// either, among them those that carry a configured secret.
func TestCallers_PathsOfTheirOwn(t *testing.T) {
	up := newWeChat(t, echo)
	e := &exchange{answer: "{}"}
	other, denied := callerOf("other", "k1"), callerOf("denied", "k2")
	other.AppIDs = []string{merchant2}
	s := start(t, Options{Source: platform(), Exchange: e, Upstream: UpstreamOptions{URL: up.URL}})
	for path := range s.local {
		denied.Deny = append(denied.Deny, path)
	}
	if err := s.SetCallers([]Caller{other, denied}); err != nil {
		t.Fatal(err)
	}
	for path := range s.local {
		appid := own
		if strings.Contains(path, "/component/") {
			appid = component
		}
		body := `{"appid":"` + appid + `","component_appid":"` + component + `","authorizer_appid":"` + merchant + `","authorization_code":"c"}`
		if appid == own {
			body = `{"appid":"` + own + `"}`
		}
		for key, say := range map[string]string{"k1": "appids", "k2": "deny has " + path} {
			got := s.call(t, "POST", path, body, "X-Wxsidecar-Key: "+key, forMerchant())
			if got.status != 403 || got.fault() != "caller_refused" || !strings.Contains(got.body, say) {
				t.Errorf("%s with %s: %d %q, want %q", path, key, got.status, got.body, say)
			}
		}
	}
	if up.calls.Load() != 0 || len(e.codes) != 0 {
		t.Errorf("%d calls reached WeChat, %q was traded", up.calls.Load(), e.codes)
	}
}

// A handle can do no more than its caller, so the endpoints that give one out need no
// place in allow, only not to be in deny. Where they give out tokens they do, as does
// what gives out a ticket for pages.
func TestCallers_HandlesNeedNoPlaceInAllow(t *testing.T) {
	up := newWeChat(t, echo)
	f := func(expose bool, deny []string, method, target, body, say string) {
		t.Helper()
		shop := callerOf("shop", "k1")
		shop.Allow, shop.Deny, shop.AppIDs = []string{"/cgi-bin/user/*"}, deny, []string{merchant, component}
		s := start(t, Options{Source: ticketed(), Exchange: &exchange{}, ExposeTokens: expose, Callers: []Caller{shop}, Upstream: UpstreamOptions{URL: up.URL}})
		got := s.call(t, method, target, body, "X-Wxsidecar-Key: k1")
		if say == "" && got.status != 200 || say != "" && (got.fault() != "caller_refused" || !strings.Contains(got.body, say)) {
			t.Errorf("expose %v, deny %v: %s %s %s = %d %q, want %q", expose, deny, method, target, body, got.status, got.body, say)
		}
		if say == "" && !strings.Contains(got.body, `_token":"wxs_`) {
			t.Errorf("%s %s gives out what is no handle: %s", method, target, got.body)
		}
	}
	authorizer := `{"component_appid":"` + component + `","authorizer_appid":"` + merchant + `"}`
	calls := [][3]string{
		{"GET", "/cgi-bin/token?appid=" + merchant, ""},
		{"GET", "/cgi-bin/token/?appid=" + merchant, ""},
		{"POST", "/cgi-bin/stable_token", `{"appid":"` + merchant + `"}`},
		{"POST", "/cgi-bin/component/api_component_token", `{"component_appid":"` + component + `"}`},
		{"POST", "/cgi-bin/component/api_authorizer_token", authorizer},
	}
	for _, c := range calls {
		f(false, nil, c[0], c[1], c[2], "")
		f(true, nil, c[0], c[1], c[2], "not in allow")
		f(false, []string{"/cgi-bin/*"}, c[0], c[1], c[2], "deny has")
	}
	f(false, []string{"/CGI-bin/Token"}, "GET", "/cgi-bin/token?appid="+merchant, "", "deny has")
	f(false, nil, "GET", "/cgi-bin/token?appid="+merchant2, "", "appids")
	f(false, nil, "GET", "/cgi-bin/ticket/getticket?type=jsapi&from_appid="+merchant, "", "not in allow")
	f(false, nil, "POST", "/cgi-bin/component/api_query_auth", `{"authorization_code":"c"}`, "not in allow")
	f(false, nil, "GET", "/sns/jscode2session?appid="+merchant, "", "not in allow")
	f(false, nil, "GET", "/cgi-bin/menu/get?from_appid="+merchant, "", "not in allow")
}

// A stranger learns nothing: not which accounts there are, nor how they are.
func TestCallers_Strangers(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}, Callers: []Caller{callerOf("shop", "k1")}})
	want := s.call(t, "GET", "/cgi-bin/menu/get", "", forMerchant()).body
	f := func(path, body string, headers ...string) {
		t.Helper()
		got := s.call(t, "POST", path, body, headers...)
		if got.status != 403 || got.fault() != "caller_refused" || got.body != want {
			t.Errorf("%s %s %v: %d %s, want 403 %s", path, body, headers, got.status, got.body, want)
		}
	}
	f("/cgi-bin/menu/get", "")
	for _, appid := range []string{merchant, own, component, "wxdeadbeefdeadbeef", "no appid"} {
		for _, path := range []string{"/cgi-bin/menu/get", "/cgi-bin/ticket/getticket?type=jsapi", "/wxa/gettemplatelist", "/cgi-bin/openapi/quota/get", "/no/such", "/sns/userinfo"} {
			f(path, "", "X-Wechat-Appid: "+appid)
		}
		f("/cgi-bin/token", `{"appid":"`+appid+`","secret":"x"}`)
		f("/cgi-bin/stable_token", `{"appid":"`+appid+`"}`)
		f("/sns/jscode2session", "appid="+appid+"&secret=x")
		f("/cgi-bin/component/api_component_token", `{"component_appid":"`+appid+`","component_appsecret":null}`)
		for _, path := range []string{"api_authorizer_token", "api_query_auth", "api_get_authorizer_info", "api_get_authorizer_list"} {
			f("/cgi-bin/component/"+path, `{"component_appid":"`+appid+`","authorizer_appid":"`+appid+`"}`)
		}
	}
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d calls reached WeChat", n)
	}
}
