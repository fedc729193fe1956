package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What is denied stays so with a slash behind it and in other letters.
func TestCallers_DenyHasNoSecondSpelling(t *testing.T) {
	up := newWeChat(t, echo)
	shop := callerOf("shop", "k1")
	shop.Deny = []string{"/cgi-bin/clear_quota", "/cgi-bin/token", "/wxa/sec/*", "/cgi-bin/menu/*", "/wxa/release/"}
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}, Callers: []Caller{shop}})
	for _, path := range []string{
		"/cgi-bin/clear_quota", "/cgi-bin/clear_quota/", "/cgi-bin/Clear_Quota", "/cgi-bin/token/?appid=" + merchant, "/WXA/sec/x",
		"/cgi-bin/menu/", "/cgi-bin/menu/get", "/wxa/release", "/wxa/release/",
	} {
		got := s.call(t, "GET", path, "", "X-Wxsidecar-Key: k1", forMerchant())
		if got.status != 403 || got.fault() != "caller_refused" {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d denied calls went out", n)
	}
	for _, path := range []string{"/cgi-bin/menu", "/cgi-bin/menus/get", "/wxa/release/x", "/"} {
		if got := s.call(t, "GET", path, "", "X-Wxsidecar-Key: k1", forMerchant()); got.status != 200 {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
}

// A compressed answer cannot be cleaned, so it does not pass where secrets may be
// in it, nor under a spelling of the path that is not matched.
func TestExchange_MaskedCompressed(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, `{"list":[{"authorizer_appid":"a","refresh_token":"tok-1"}]}`)
	})
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}})
	f := func(path string, status int, code string) {
		t.Helper()
		got := s.call(t, "POST", path, "{}")
		if got.status != status || got.fault() != code || strings.Contains(got.body, "tok-1") {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
	f("/cgi-bin/component/api_get_authorizer_list", 504, "answer_encoded")
	f("/cgi-bin/component/api_get_authorizer_list/", 504, "answer_encoded")
	f("/cgi-bin/component/API_get_authorizer_list?component_access_token=x", 400, "bad_request")
}

// As a forward proxy it serves WeChat's hosts and itself, not other services of
// the machine.
func TestServer_ProxyOfLoopbackServices(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), DefaultAppID: merchant, Upstream: UpstreamOptions{URL: up.URL}})
	f := func(host string, status string) {
		t.Helper()
		got := rawCall(t, s.addr, "GET http://"+host+"/cgi-bin/menu/get HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+status) {
			t.Errorf("%s: %.200q", host, got)
		}
	}
	f("api.weixin.qq.com", "200")
	f("127.0.0.1:"+s.port(), "200")
	f(strings.TrimPrefix(up.URL, "http://"), "200")
	f("127.0.0.1:9", "403")
	f("localhost", "403")
	f("[::1]:9", "403")
}

// No path that the sidecar serves in a way of its own is forwarded because the catalogue lacks it.
func TestHandlersByRoute(t *testing.T) {
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: newWeChat(t, echo).URL}})
	found := 0
	for _, handler := range s.byRoute {
		if handler != nil {
			found++
		}
	}
	if found != len(s.local) {
		t.Errorf("%d handlers by route, %d by path", found, len(s.local))
	}
	_, err := handlersByRoute(s.table, map[string]localHandler{"/cgi-bin/no_such_path": s.serveToken})
	if err == nil || !strings.Contains(err.Error(), "/cgi-bin/no_such_path") {
		t.Errorf("a path that the catalogue lacks: %v", err)
	}
}

// What the sidecar serves in a way of its own, wxsidecar routes says.
func TestRoutes_ExplainWhatIsServed(t *testing.T) {
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: newWeChat(t, echo).URL}})
	for path := range s.local {
		if text := s.table.Explain(path); !strings.Contains(text, "served: ") {
			t.Errorf("%s", text)
		}
	}
	if text := s.table.Explain("/cgi-bin/menu/get"); strings.Contains(text, "served: ") {
		t.Errorf("%s", text)
	}
}

// What is given twice could be read two ways.
func TestRequest_Doubled(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: ticketed(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.URL}})
	handle := func(appid string) string {
		return decode(t, s.call(t, "GET", "/cgi-bin/token?appid="+appid, ""))["access_token"].(string)
	}
	f := func(method, path, body string) {
		t.Helper()
		if got := s.call(t, method, path, body); got.status != 400 {
			t.Errorf("%s %s %s: %d %q", method, path, body, got.status, got.body)
		}
	}
	f("GET", "/cgi-bin/menu/get?from_appid="+merchant+"&from_appid="+own, "")
	f("GET", "/cgi-bin/menu/get?access_token="+handle(merchant)+"&access_token="+handle(own), "")
	f("GET", "/cgi-bin/token?appid="+merchant+"&appid="+own+"&secret=x", "")
	f("POST", "/cgi-bin/stable_token", `{"appid":"`+merchant+`","appid":"`+own+`"}`)
	f("GET", "/sns/oauth2/access_token?appid="+own+"&secret=k&secret=k", "")
	f("GET", "/sns/jscode2session?appid="+own+"&appid="+merchant+"&secret=k", "")
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d doubtful calls went out", n)
	}
}

// A 200 to CONNECT means an open tunnel, whatever apps.errors says.
func TestConnect_RefusalIsNever200(t *testing.T) {
	s := start(t, Options{Source: platform(), ErrorsAsHTTP200: true, Upstream: UpstreamOptions{URL: newWeChat(t, echo).URL}})
	got := rawCall(t, s.addr, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("%.200q", got)
	}
}
