package proxy

import (
	"strings"
	"testing"
)

// Browsers before Sec-Fetch-Site, Safari up to 16.3 among them, show by the Referer
// alone that another site's page makes a call.
func TestServer_CrossSiteReferer(t *testing.T) {
	up := newHeads(t)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, AllowedHosts: []string{"sidecar.internal"}, Upstream: UpstreamOptions{URL: up.url}})
	f := func(target, referer string, served bool, headers ...string) {
		t.Helper()
		request := "GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1:7080\r\nConnection: close\r\nReferer: " + referer + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
		got := rawCall(t, s.addr, request)
		cure := "name the account in the header X-Wechat-Appid"
		if strings.Contains(request, "\r\nOrigin:") || strings.Contains(request, "\r\nSec-Fetch-Site: cross") {
			cure = "call from the app's server"
		}
		if served {
			// What WeChat makes of a Referer is its own affair.
			if seen := up.take(); !strings.HasPrefix(got, "HTTP/1.1 200") || len(seen) != 1 || !strings.Contains(seen[0], "\r\nReferer: "+referer+"\r\n") {
				t.Errorf("%s, %s, %q: %.300q; WeChat saw %q, want it served", target, referer, headers, got, seen)
			}
			return
		}
		if !strings.HasPrefix(got, "HTTP/1.1 403") || !strings.Contains(got, "X-Wxsidecar-Error: browser_refused") || !strings.Contains(got, cure) {
			t.Errorf("%s, %s, %q: %.300q, want browser_refused with its cure", target, referer, headers, got)
		}
		if seen := up.take(); len(seen) > 0 {
			t.Errorf("%s, %s, %q: WeChat saw %q", target, referer, headers, seen)
		}
	}
	const call = "/cgi-bin/menu/delete"
	for _, referer := range []string{
		"https://evil.example/", "http://evil.example", "http://evil.example:7080/x", "http://127.0.0.1.evil.example/", "http://evil.example/127.0.0.1",
		"http://127.0.0.1@evil.example/", "http://evil.example@127.0.0.1/", "http://evil.example#127.0.0.1", "http://[::ffff:10.0.0.1]/", "https://mp.weixin.qq.com/s/x",
		// What is no page's address at all is nobody's whom we know.
		"about:client", "null", "/page", "//127.0.0.1/", "http:127.0.0.1", "ftp://127.0.0.1/", "http://", "http:///x", "http://a b/",
	} {
		f(call, referer, false)
		f("/"+merchant2+call, referer, false)
		f(call+"?from_appid="+merchant2, referer, false)
		f(call+"?access_token=x", referer, false)
		f("/wxa/gettemplatelist", referer, false)
		f("/cgi-bin/token?appid="+merchant+"&secret=x", referer, false)
		f("/sns/userinfo?access_token=u", referer, false)
	}
	for _, referer := range []string{
		"http://127.0.0.1:7080/", "HTTP://LOCALHOST/x?y#z", "https://localhost:3000", "http://[::1]:7080/", "http://sidecar.internal/",
		"https://api.weixin.qq.com/cgi-bin/menu/get",
	} {
		f(call, referer, true)
	}
	const evil = "https://evil.example/"
	// No page can set these without asking first, and it gets no answer.
	f(call, evil, true, forMerchant())
	f(call, evil, true, "X-Wxsidecar-Key: k")
	// No page can know a handle.
	f(call+"?access_token="+s.keys.issue(authorizerKey(merchant2), nil), evil, true)
	for _, forged := range []string{"wxs_a_" + merchant + "_x", oldHandle(2, merchant), "wxs_"} {
		for _, path := range []string{call, "/wxa/gettemplatelist", "/cgi-bin/ticket/getticket"} {
			got := rawCall(t, s.addr, "GET "+path+"?access_token="+forged+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nReferer: "+evil+"\r\n\r\n")
			if seen := up.take(); !strings.Contains(got, "X-Wxsidecar-Error: bad_handle") || len(seen) > 0 {
				t.Errorf("a page that makes up the handle %s: %.300q; WeChat saw %q", forged, got, seen)
			}
		}
	}
	f(call, evil, false, "Proxy-Authorization: Basic a2V5OmtleQ==")
	f(call, evil, false, "Sec-Fetch-Site: none")
	// Origin and Sec-Fetch-Site are refused whatever else there is.
	f(call, evil, false, forMerchant(), "Origin: https://evil.example")
	f(call, evil, false, forMerchant(), "Sec-Fetch-Site: cross-site")
}

// An app that sends all its traffic through the sidecar is told so, whatever headers
// the traffic has.
func TestServer_OtherTrafficWithABrowsersHeaders(t *testing.T) {
	s := start(t, Options{Source: platform(), DefaultAppID: merchant})
	for _, h := range []string{"Origin: https://shop.example", "Referer: https://shop.example/", "Sec-Fetch-Site: cross-site"} {
		got := rawCall(t, s.addr, "GET http://cdn.example/x HTTP/1.1\r\nHost: cdn.example\r\nConnection: close\r\n"+h+"\r\n\r\n")
		if !strings.Contains(got, "X-Wxsidecar-Error: forbidden_host") || !strings.Contains(got, "NO_PROXY") {
			t.Errorf("%s: %.300q, want forbidden_host with NO_PROXY", h, got)
		}
	}
}
