package proxy

import (
	"strings"
	"testing"
)

// An error of our own says what to do, for who reads no more than errmsg.
func TestFaults_SayWhatToDo(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.url}})
	f := func(code, cure, request string, headers ...string) {
		t.Helper()
		head := request + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + strings.Join(append(headers, ""), "\r\n")
		got := rawCall(t, s.addr, head+"\r\n\r\n")
		if !strings.Contains(got, "X-Wxsidecar-Error: "+code+"\r\n") || !strings.Contains(got, cure) || len(up.take()) != 0 {
			t.Errorf("%s, %q: %.600q, want %s with %q", request, headers, got, code, cure)
		}
	}
	const unknown = "wxdeadbeefdeadbeef"
	for _, cure := range []string{"compare", "let the merchant authorise", "add it to accounts"} {
		f("unknown_account", cure, "GET /x", "X-Wechat-Appid: "+unknown)
		f("unknown_account", cure, "GET /"+unknown+"/x")
		f("unknown_account", cure, "GET /cgi-bin/token?appid="+unknown)
	}
	f("unknown_account", "原始ID", "GET /x", "X-Wechat-Appid: gh_0123456789ab")
	f("unknown_account", "compare it with components", "GET /cgi-bin/component/api_component_token?component_appid="+merchant)
	f("unknown_account", "/cgi-bin/component/api_component_token", "GET /cgi-bin/component/api_authorizer_token?authorizer_appid="+component)
	f("browser_refused", "call from the app's server", "GET /x", "Origin: https://shop.example", forMerchant())
	f("browser_refused", "call from the app's server", "GET /x", "Sec-Fetch-Site: same-site", forMerchant())
	f("browser_refused", "leave the Referer out", "GET /x", "Referer: https://shop.example/")
	f("bad_request", "name the account", "GET /cgi-bin/menu/get", "X-Wechat-Appid: "+component)
	f("bad_request", "spell the path without it", "GET /cgi-bin/../x", forMerchant())
	f("bad_request", "leave it out", "GET /x#y", forMerchant())
	f("bad_request", "leave it out", "GET /x?a=%00", forMerchant())
	f("bad_request", "once", "GET /x", forMerchant(), forMerchant())
	f("bad_request", "once", "GET /x?from_appid="+merchant+"&from_appid="+merchant)
	f("bad_request", "send one", "GET /x?access_token=wxs_a_x&access_token=wxs_a_y")
}
