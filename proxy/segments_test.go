package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Code in wide use has addresses with an empty segment. In each way in, the path is
// matched, checked and sent without it.
func TestServer_EmptySegmentsAreMerged(t *testing.T) {
	up := newHeads(t)
	config, roots := interception(t)
	s := start(t, Options{
		Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.url},
		Connect: ConnectOptions{TLS: config},
	})
	tunnelled := func(target, headers string) string {
		conn, status := dialConnect(t, s.addr, "api.weixin.qq.com:443", "")
		if status != 200 {
			t.Fatalf("CONNECT: %d", status)
		}
		inside := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "api.weixin.qq.com"})
		defer inside.Close()
		fmt.Fprintf(inside, "POST %s HTTP/1.1\r\nHost: api.weixin.qq.com\r\nContent-Length: 0\r\n%sConnection: close\r\n\r\n", target, headers)
		b, _ := io.ReadAll(inside)
		return string(b)
	}
	plain := func(host, before string) func(target, headers string) string {
		return func(target, headers string) string {
			return rawCall(t, s.addr, fmt.Sprintf("POST %s%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n%sConnection: close\r\n\r\n", before, target, host, headers))
		}
	}
	ways := map[string]func(target, headers string) string{
		"reverse proxy": plain("localhost", ""), "forward proxy": plain("api.weixin.qq.com", "http://api.weixin.qq.com"),
		"forward proxy, https": plain("api.weixin.qq.com", "https://api.weixin.qq.com"), "CONNECT": tunnelled,
	}
	for way, call := range ways {
		f := func(target, want string, headers ...string) {
			t.Helper()
			got := call(target, strings.Join(headers, ""))
			seen := up.take()
			if !strings.HasPrefix(got, "HTTP/1.1 200") || len(seen) != 1 || !strings.HasPrefix(seen[0], "POST "+want+" HTTP/1.1\r\n") {
				t.Errorf("%s, %s: %.200q; WeChat saw %.200q, want one POST %s", way, target, got, seen, want)
			}
		}
		token := func(appid string) string { return "access_token=tok-authorizer-" + appid + "-1" }
		f("//cgi-bin/message/mass/delete", "/cgi-bin/message/mass/delete?"+token(merchant))
		f("///cgi-bin//message///mass/delete", "/cgi-bin/message/mass/delete?"+token(merchant))
		f("//cgi-bin/message/mass/delete//?a=//b", "/cgi-bin/message/mass/delete/?a=//b&"+token(merchant))
		f("/"+merchant2+"//cgi-bin/message/mass/delete", "/cgi-bin/message/mass/delete?"+token(merchant2))
		f("//"+merchant2+"/cgi-bin//message/mass/delete", "/cgi-bin/message/mass/delete?"+token(merchant2))
		f("//cgi-bin//component/api_create_preauthcode", "/cgi-bin/component/api_create_preauthcode?component_access_token=tok-component-"+component+"-1")
		f("//evil.example/x", "/evil.example/x?"+token(merchant))
		for _, target := range []string{"//..//cgi-bin/x", "/cgi-bin//../x", "/cgi-bin//./x", "//%2e%2e/x", "/cgi-bin/%2fx", "//cgi-bin\\x"} {
			if got := call(target, ""); !strings.HasPrefix(got, "HTTP/1.1 400") || len(up.take()) != 0 {
				t.Errorf("%s, %s: %.200q, want 400", way, target, got)
			}
		}
		if got := call("//cgi-bin//token", ""); !strings.Contains(got, `"access_token":"wxs_`) || len(up.take()) != 0 {
			t.Errorf("%s: a token fetched at //cgi-bin//token: %.300q", way, got)
		}
	}
}

// What callers may not do, they may not do under a longer spelling.
func TestCallers_EmptySegmentsDoNotEvadeRules(t *testing.T) {
	up := newHeads(t)
	shop := callerOf("shop", "k")
	shop.Allow, shop.Deny = []string{"/cgi-bin/*"}, []string{"/cgi-bin/clear_quota"}
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Callers: []Caller{shop}, Upstream: UpstreamOptions{URL: up.url}})
	for target, want := range map[string]string{
		"//cgi-bin/clear_quota": "403", "/cgi-bin//clear_quota": "403", "/cgi-bin/clear_quota//": "403", "//wxa/x": "403",
		"//cgi-bin/menu/get": "200", "/cgi-bin//menu/get": "200",
	} {
		got := rawCall(t, s.addr, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\nX-Wxsidecar-Key: k\r\nConnection: close\r\n\r\n")
		if n := len(up.take()); !strings.HasPrefix(got, "HTTP/1.1 "+want) || (want == "200") != (n == 1) {
			t.Errorf("%s: %.150q, %d calls to WeChat, want %s", target, got, n, want)
		}
	}
}
