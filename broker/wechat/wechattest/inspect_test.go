package wechattest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestViolations(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	component, token, refresh := w.componentToken(), w.authorizerToken(), w.RefreshToken(platform, merchant)
	target := "/cgi-bin/menu/get?access_token=" + token
	w.noViolations()
	f := func(want string, req *http.Request) {
		t.Helper()
		w.Forget()
		w.do(req)
		if got := w.Violations(); len(got) == 0 || !strings.Contains(got[0], want) {
			t.Errorf("violations %q, want one of %q", got, want)
		}
	}
	with := func(target, name, value string) *http.Request {
		req := request(http.MethodGet, target, "")
		req.Header[name] = []string{value}
		return req
	}
	f("an app-sent token APP-alice-1", request(http.MethodGet, "/cgi-bin/menu/get?access_token=APP-alice-1", ""))
	f("an app-sent token APP-x", with(target, "Authorization", "Bearer APP-x"))
	f("an app-sent token APP-r", request(http.MethodPost, "/cgi-bin/component/api_authorizer_token?access_token="+component,
		`{"component_appid":"`+platform+`","authorizer_appid":"`+merchant+`","authorizer_refresh_token":"APP-r"}`))
	f("a sidecar's handle", request(http.MethodGet, "/cgi-bin/menu/get?access_token=wxs_a_wx1_mac", ""))
	f("control header X-Wechat-Appid", with(target, "X-Wechat-Appid", merchant))
	f("control header X-Wechat-Component", with(target, "X-Wechat-Component", platform))
	f("control header X-Wxsidecar-Key", with(target, "X-Wxsidecar-Key", "k"))
	f("control header X_wxsidecar_key", with(target, "X_wxsidecar_key", "k"))
	f("hop-by-hop header Proxy-Authorization", with(target, "Proxy-Authorization", "Basic eA=="))
	f("hop-by-hop header Te", with(target, "Te", "trailers"))
	f("Connection header", with(target, "Connection", "close, X-Hop"))
	f("more than one token", request(http.MethodGet, target+"&access_token=x", ""))
	f("odd spelling", request(http.MethodGet, target+"&Access_Token=x", ""))
	f("the component's secret in the query parameter k", request(http.MethodGet, target+"&k="+platformKey, ""))
	f("the component's secret in the body member component_appsecret of /cgi-bin/component/api_query_auth",
		request(http.MethodPost, "/cgi-bin/component/api_query_auth?access_token="+component, `{"component_appsecret":"`+platformKey+`"}`))
	f("an AES key", request(http.MethodPost, target, `{"x":"`+aesKey+`"}`))
	f("a refresh token in the query parameter r", request(http.MethodGet, target+"&r="+refresh, ""))
	f("an account's secret in the body", request(http.MethodPost, target, `{"secret":"`+ownKey+`"}`))
	f("a authorizer token in the header Cookie", with(target, "Cookie", "t="+token))
	f("a platform's token on the user path", request(http.MethodGet, "/sns/userinfo?openid=o&access_token="+token, ""))
	f("which takes none", request(http.MethodGet, plainTarget()+"&access_token="+token, ""))
	f("two ways", request(http.MethodGet, "/cgi-bin/%2e%2e/menu/get?access_token="+token, ""))
	f("two ways", request(http.MethodGet, "//cgi-bin/menu/get?access_token="+token, ""))
}

// What apps may send in good faith is no violation.
func TestViolations_None(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	token := w.authorizerToken()
	w.stableToken(false)
	w.do(request(http.MethodPost, "/cgi-bin/message/custom/send?access_token="+token,
		`{"touser":"o","msgtype":"text","text":{"content":"APP-1 wxs_x"}}`))
	req := request(http.MethodGet, "/cgi-bin/menu/get?access_token="+token, "")
	req.Header.Set("Connection", "keep-alive")
	req.Header.Set("Wechatmp-Signature", "c2lnbmF0dXJl")
	w.do(req)
	w.noViolations()
}

func TestRequests(t *testing.T) {
	w := newWorld(t, wechattest.Options{KeepRequests: 3, KeepBody: 4})
	token := w.authorizerToken()
	for range 3 {
		w.do(request(http.MethodPost, "/wxa/release?b=2&access_token="+token+"&a=%2f", `{"x":1}`))
	}
	all := w.Requests()
	if len(all) != 3 || w.Calls("/wxa/release") != 3 || w.Calls("") != 5 || w.Answered(0) != 5 {
		t.Fatalf("%d records, %d and %d calls", len(all), w.Calls("/wxa/release"), w.Calls(""))
	}
	r := all[2]
	if r.URI != "/wxa/release?b=2&access_token="+token+"&a=%2f" || string(r.Body) != `{"x"` || r.BodySize != 7 {
		t.Errorf("record %+v", r)
	}
	if r.TokenKind != wechattest.KindAuthorizer || r.TokenAppID != merchant || r.TokenComponent != platform || r.TokenGeneration != 1 || r.Errcode != 0 {
		t.Errorf("record %+v", r)
	}
	const sum = "5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22"
	if r.BodySHA256 != sum {
		t.Errorf("sum %s, want %s", r.BodySHA256, sum)
	}
}

func TestSecrets(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	first := w.authorizerToken()
	second := w.authorizerToken()
	code := w.Authorize(platform, merchant)
	have := w.Secrets()
	for _, want := range []string{first, second, w.componentToken(), code, platformKey, ownKey, aesKey, w.RefreshToken(platform, merchant)} {
		if !slices.Contains(w.Secrets(), want) {
			t.Errorf("%q is not among the %d secrets", want, len(have))
		}
	}
	if w.CurrentToken(merchant) != second || w.CurrentToken("wxnone") != "" {
		t.Error("CurrentToken is not the newest one")
	}
	if slices.Contains(have, "") {
		t.Error("the empty text is among the secrets")
	}
}

func TestTokens_Look(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	for range 100 {
		token := w.plainToken()
		if len(token) < 138 || len(token) > 160 || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("token %q", token)
		}
	}
	first, again := newWorld(t, wechattest.Options{Seed: 3}), newWorld(t, wechattest.Options{Seed: 3})
	if first.plainToken() != again.plainToken() {
		t.Error("the same seed gave different tokens")
	}
}
