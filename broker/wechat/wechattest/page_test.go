package wechattest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	domain  = "b.example"
	referer = "https://" + domain + "/"
)

// pageWorld is a world whose platform has a domain, and the pre_auth_code of one visit.
func pageWorld(t *testing.T, r *receiver) (w *world, code string) {
	t.Helper()
	w = newWorld(t, wechattest.Options{Pusher: r})
	w.AddComponent(wechattest.Component{
		AppID: platform, Secret: platformKey, PushToken: "push-token-1", EncodingAESKey: aesKey,
		PushURL: "http://sidecar.test/", AuthorizeDomain: domain,
	})
	status, m := w.post("/cgi-bin/component/api_create_preauthcode?component_access_token="+w.componentToken(),
		map[string]any{"component_appid": platform})
	return w, w.must("pre_auth_code", status, m)
}

func link(code string, change ...string) string {
	q := url.Values{
		"component_appid": {platform}, "pre_auth_code": {code}, "auth_type": {"3"},
		"redirect_uri": {"https://" + domain + "/back?state=s"},
	}
	for i := 0; i < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	return "https://mp.weixin.qq.com/cgi-bin/componentloginpage?" + q.Encode()
}

func TestFollowLink(t *testing.T) {
	r := &receiver{}
	w, code := pageWorld(t, r)
	landing, err := w.FollowLink(link(code), referer, "wxnew")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(landing)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Host != domain || u.Path != "/back" || q.Get("state") != "s" || q.Get("expires_in") != "600" {
		t.Errorf("the merchant lands at %s", landing)
	}
	if len(r.opened) != 1 || !strings.Contains(r.opened[0], "<InfoType><![CDATA[authorized]]>") ||
		!strings.Contains(r.opened[0], q.Get("auth_code")) || !strings.Contains(r.opened[0], code) {
		t.Errorf("pushed %q", r.opened)
	}
	status, m := w.post("/cgi-bin/component/api_query_auth?component_access_token="+w.componentToken(),
		map[string]any{"component_appid": platform, "authorization_code": q.Get("auth_code")})
	if status != 0 {
		t.Errorf("exchange of the code: %v", m)
	}
	if _, err := w.FollowLink(link(code), referer, "wxnew"); err == nil {
		t.Error("a pre_auth_code worked twice")
	}
}

func TestFollowLink_Refuses(t *testing.T) {
	f := func(wantErr, from, appID string, change ...string) {
		t.Helper()
		w, code := pageWorld(t, &receiver{})
		w.SetProfile(platform, merchant, wechattest.Profile{MiniProgram: true})
		landing, err := w.FollowLink(link(code, change...), from, appID)
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%s %v: %q, %v; want an error with %q", from, change, landing, err, wantErr)
		}
		if wantErr != "" && w.Knows(platform, "wxnew") {
			t.Errorf("%s %v: authorised all the same", from, change)
		}
	}
	f("", referer, "wxnew")
	f("", "https://"+domain+":8443/deep/page", "wxnew")
	f("comes from (none)", "", "wxnew")
	f("comes from (evil.example)", "https://evil.example/", "wxnew")
	f("return to (evil.example)", referer, "wxnew", "redirect_uri", "https://evil.example/")
	f("not an http", referer, "wxnew", "redirect_uri", "javascript:alert(1)")
	f("not a component's", referer, "wxnew", "component_appid", merchant)
	f("pre_auth_code is invalid", referer, "wxnew", "pre_auth_code", "x")
	f("auth_type", referer, "wxnew", "auth_type", "")
	f("auth_type", referer, "wxnew", "auth_type", "7")
	f("", referer, "wxnew", "auth_type", "", "biz_appid", "wxnew")
	f("only wxother", referer, "wxnew", "biz_appid", "wxother")
	f("not of the sort", referer, merchant, "auth_type", "1")
	f("", referer, merchant, "auth_type", "2")
	f("choose an account", referer, "")
}

func TestFollowLink_Expired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, code := pageWorld(t, &receiver{})
		time.Sleep(10 * time.Minute)
		if _, err := w.FollowLink(link(code), referer, "wxnew"); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("an expired pre_auth_code: %v", err)
		}
	})
}

// The page is served among the API's paths, for browsers, and is no call. A phone's has
// parameters of its own.
func TestPage_Served(t *testing.T) {
	f := func(host, path, want string) {
		t.Helper()
		w, code := pageWorld(t, &receiver{})
		target := strings.Replace(link(code), "https://mp.weixin.qq.com/cgi-bin/componentloginpage?", "https://"+host+path, 1)
		req := httptest.NewRequest(http.MethodGet, target, nil)
		req.Header.Set("Referer", referer)
		w.Forget()
		w.Fault("*", wechattest.Fault{Status: http.StatusBadGateway})
		got := httptest.NewRecorder()
		w.ServeHTTP(got, req)
		if got.Code != http.StatusOK || !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s%s: status %d, %s", host, path, got.Code, got.Body)
		}
		if n := w.Calls(""); n != 0 {
			t.Errorf("%s%s: %d calls on record", host, path, n)
		}
	}
	button := `<button name="appid" value="` + merchant + `">`
	f("mp.weixin.qq.com", "/cgi-bin/componentloginpage?", button)
	f("mp.weixin.qq.com", "/safe/bindcomponent?action=bindcomponent&no_scan=1&", button)
	f("open.weixin.qq.com", "/wxaopen/safe/bindcomponent?action=bindcomponent&no_scan=1&", button)
	f("open.weixin.qq.com", "/wxaopen/safe/bindcomponent?", "no_scan=1")
}
