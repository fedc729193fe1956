package proxy

import (
	"strconv"
	"strings"
	"testing"
)

// A name without a value is a variable that is not set. It must not send a call to
// the default account, which is another merchant.
func TestBlank_NamesAreRefused(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), Exchange: &exchange{answer: "{}"}, DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url}})
	f := func(name, target, body string, headers ...string) {
		t.Helper()
		request := "POST " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
		for _, h := range headers {
			request += h + "\r\n"
		}
		got := rawCall(t, s.addr, request+"Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		if !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, "X-Wxsidecar-Error: bad_request") || !strings.Contains(got, name+" ") || !strings.Contains(got, "not set") {
			t.Errorf("%s, %q, %q: %.400q, want 400 that names %s", target, body, headers, got, name)
		}
		if seen := up.take(); len(seen) > 0 {
			t.Errorf("%s, %q, %q: WeChat saw %q", target, body, headers, seen)
		}
	}
	const call = "/cgi-bin/message/mass/delete"
	handle := "access_token=" + s.keys.issue(authorizerKey(merchant2), nil)
	for _, h := range []string{"X-Wechat-Appid:", "X-Wechat-Appid: ", "x-wechat-appid: \t "} {
		f("X-Wechat-Appid", call, "", h)
		f("X-Wechat-Appid", "/"+merchant2+call+"?from_appid="+merchant2, "", h)
		f("X-Wechat-Appid", call+"?"+handle, "", h)
		f("X-Wechat-Appid", "/cgi-bin/token?appid="+merchant2, "", h)
		f("X-Wechat-Appid", "/wxa/gettemplatelist", "", h)
	}
	f("X-Wechat-Appid", call, "", "X-Wechat-Appid:", "X-Wechat-Appid: "+merchant2)
	f("X-Wechat-Component", call, "", "X-Wechat-Component:", forMerchant())
	f("X-Wechat-Component", "/wxa/gettemplatelist", "", "X-Wechat-Component: \t")
	f("X-Wxsidecar-Key", call, "", "X-Wxsidecar-Key:", forMerchant())
	f("X-Wxsidecar-Key", call, "", "X-Wxsidecar-Key: ")
	for _, query := range []string{"from_appid", "from_appid=", "a=1&from_appid&b=2", "from_appid=&" + handle, "from_appid=%20", "from_appid=+&a=1"} {
		f("from_appid", call+"?"+query, "")
		f("from_appid", call+"?"+query, "", forMerchant())
		f("from_appid", "/"+merchant2+call+"?"+query, "")
		f("from_appid", "/cgi-bin/token?appid="+merchant2+"&"+query, "")
	}
	for _, query := range []string{"component_appid", "component_appid=", "a=1&component_appid", "component_appid=%20+"} {
		f("component_appid", call+"?"+query, "")
		f("component_appid", "/wxa/gettemplatelist?"+query, "")
		f("component_appid", "/sns/component/jscode2session?"+query, "")
		f("component_appid", "/cgi-bin/component/api_component_token?"+query, "{}")
	}
	// The forms of calls whose body is read.
	for _, form := range []struct{ path, name string }{
		{"/cgi-bin/token", "appid"},
		{"/cgi-bin/stable_token", "appid"},
		{"/cgi-bin/component/api_component_token", "component_appid"},
		{"/cgi-bin/component/api_authorizer_token", "authorizer_appid"},
		{"/cgi-bin/component/api_authorizer_token", "component_appid"},
		{"/cgi-bin/stable_token", "component_appid"},
		{"/cgi-bin/ticket/getticket", "component_appid"},
		{"/cgi-bin/component/api_query_auth", "component_appid"},
		{"/cgi-bin/component/api_get_authorizer_list", "component_appid"},
		{"/cgi-bin/component/api_get_authorizer_info", "component_appid"},
		{"/cgi-bin/component/api_start_push_ticket", "component_appid"},
		{"/cgi-bin/component/clear_quota/v2", "component_appid"},
		{"/cgi-bin/clear_quota/v2", "appid"},
		{"/sns/jscode2session", "appid"},
		{"/sns/oauth2/access_token", "appid"},
		{"/sns/oauth2/refresh_token", "appid"},
	} {
		for _, body := range []string{`{"NAME":""}`, `{"NAME":" "}`, `{"NAME":null}`, `{"NAME":7}`, `{"NAME":{}}`, "NAME=", "NAME=&a=b", "a=b&NAME", "NAME=%20", "NAME=%zz"} {
			f(form.name, form.path, strings.ReplaceAll(body, "NAME", form.name))
		}
		for _, query := range []string{"NAME", "NAME=", "NAME=+", "NAME=%zz"} {
			f(form.name, form.path+"?"+strings.ReplaceAll(query, "NAME", form.name), "")
		}
	}
}

// A name that is spelled so that we do not see it would send the call to the default
// account as well.
func TestBlank_NoNameIsHidden(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url}})
	f := func(target string, headers ...string) {
		t.Helper()
		request := "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
		if got := rawCall(t, s.addr, request); !strings.HasPrefix(got, "HTTP/1.1 400") {
			t.Errorf("%s, %q: %.200q, want 400", target, headers, got)
		}
		if seen := up.take(); len(seen) > 0 {
			t.Errorf("%s, %q: WeChat saw %q", target, headers, seen)
		}
	}
	for _, query := range []string{"from%5Fappid=", "From_Appid=", "FROM_APPID=", "%66rom_appid=", "from_appid[]=", "+from_appid=", "a=1;from_appid="} {
		f("/x?" + query + merchant2)
	}
	f("/x?from_appid=%20")
	f("/x?from_appid=" + merchant2 + "&from_appid=" + merchant2)
	f("/x?component_appid=" + component + "&component_appid=" + component)
	f("/x", "X-Wechat-Appid: "+merchant2, "X-Wechat-Appid: "+merchant2)
	f("/x", "X-Wechat-Appid: "+merchant2+", "+merchant2)
	f("/x", "X-Wechat-Appid: "+merchant2+",")
	f("/x", "X-Wechat-Appid: \"\"")
	f("/x", "X_Wechat_Component: "+component)
	f("/x", "X-Wechat-Component: "+component, "X-Wechat-Component: "+component)
}

// What is blank but names nobody is as good as absent.
func TestBlank_WhatNamesNobody(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url}})
	f := func(target, want string, headers ...string) {
		t.Helper()
		request := "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
		got := rawCall(t, s.addr, request)
		if seen := up.take(); !strings.HasPrefix(got, "HTTP/1.1 200") || len(seen) != 1 || !strings.HasPrefix(seen[0], "GET "+want+" ") {
			t.Errorf("%s, %q: %.200q; WeChat saw %.200q, want %s", target, headers, got, seen, want)
		}
	}
	token := "access_token=tok-authorizer-" + merchant + "-1"
	// SDKs without a token send an empty one, which is taken out like any other.
	f("/x?access_token=", "/x?"+token)
	f("/x?access_token&a=1", "/x?a=1&"+token)
	f("/x?appid=&secret=", "/x?appid=&secret=&"+token) // WeChat's to judge
	f("/x", "/x?"+token, "Referer:", "Proxy-Authorization:", "Authorization:")
	// A user's call is for nobody's account and passes as it came.
	f("/sns/userinfo?access_token=u&from_appid=&component_appid=", "/sns/userinfo?access_token=u&from_appid=&component_appid=")
}

// The header that names a platform stays here.
func TestBlank_ComponentHeaderIsNotForwarded(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url}})
	got := rawCall(t, s.addr, "GET /x HTTP/1.1\r\nHost: localhost\r\nX-Wechat-Component: "+component+"\r\nConnection: close\r\n\r\n")
	seen := up.take()
	if !strings.HasPrefix(got, "HTTP/1.1 200") || len(seen) != 1 {
		t.Fatalf("%.200q, WeChat saw %q", got, seen)
	}
	wantWithout(t, seen[0], map[string]bool{"x-wechat-component": true})
}
