package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

const okAnswer = `{"errcode":0,"errmsg":"ok"}`

func authorizerKey(appid string) broker.Key {
	return broker.Key{Kind: broker.KindAuthorizer, AppID: appid, Component: component}
}

// echo answers with the request URI that arrived.
func echo(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) }

func TestForward_WhoseToken(t *testing.T) {
	up := newWeChat(t, echo)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	const (
		comp  = "tok-component-" + component + "-1"
		m1    = "tok-authorizer-" + merchant + "-1"
		m2    = "tok-authorizer-" + merchant2 + "-1"
		owned = "tok-account-" + own + "-1"
	)
	f := func(path, want string, headers ...string) {
		t.Helper()
		got := s.call(t, "GET", path, "", headers...)
		if got.err != nil || got.status != 200 || got.body != want {
			t.Errorf("GET %s %v = %d %q %v, want %q", path, headers, got.status, got.body, got.err, want)
		}
	}
	f("/cgi-bin/menu/get", "/cgi-bin/menu/get?access_token="+m1, forMerchant())
	f("/cgi-bin/menu/get?a=%2f&access_token=x&b", "/cgi-bin/menu/get?a=%2f&b&access_token="+m1, forMerchant())
	f("/"+merchant2+"/cgi-bin/menu/get", "/cgi-bin/menu/get?access_token="+m2)
	f("/"+merchant2+"/cgi-bin/menu/get", "/cgi-bin/menu/get?access_token="+m1, forMerchant())
	f("/cgi-bin/menu/get?from_appid="+own+"&a=1", "/cgi-bin/menu/get?a=1&access_token="+owned)
	f("/no/such/path", "/no/such/path?access_token="+m1, forMerchant())
	f("/no/such/path", "/no/such/path?access_token="+comp, "X-Wechat-Appid: "+component)
	// The component's own paths, under the catalogue's name whatever the caller used.
	f("/wxa/gettemplatelist", "/wxa/gettemplatelist?access_token="+comp)
	f("/wxa/gettemplatelist?component_access_token=x", "/wxa/gettemplatelist?access_token="+comp)
	f("/wxa/gettemplatelist?component_access_token=x&access_token=y&a=1", "/wxa/gettemplatelist?a=1&access_token="+comp)
	f("/wxa/getdefaultamsinfo?action=get_share_ratio&component_access_token=x", "/wxa/getdefaultamsinfo?action=get_share_ratio&access_token="+comp)
	f("/cgi-bin/component/fastregisterweapp?action=create", "/cgi-bin/component/fastregisterweapp?action=create&component_access_token="+comp, forMerchant())
	f("/cgi-bin/component/fastregisterweapp?access_token=x", "/cgi-bin/component/fastregisterweapp?component_access_token="+comp)
	f("/cgi-bin/component/api_create_preauthcode?access_token=x", "/cgi-bin/component/api_create_preauthcode?component_access_token="+comp)
	f("/sns/component/jscode2session?access_token=x&js_code=c", "/sns/component/jscode2session?js_code=c&component_access_token="+comp)
	f("/wxa/component/anything", "/wxa/component/anything?access_token="+comp)
	f("/cgi-bin/component/setprivacysetting", "/cgi-bin/component/setprivacysetting?access_token="+m1, forMerchant())
	f("/cgi-bin/menu/get?component_access_token=x", "/cgi-bin/menu/get?access_token="+comp, forMerchant())
	f("/cgi-bin/openapi/quota/get?component_access_token=x", "/cgi-bin/openapi/quota/get?access_token="+comp, forMerchant())
	// Paths that the catalogue does not have, under the caller's name.
	f("/wxa/component/anything?component_access_token=x", "/wxa/component/anything?component_access_token="+comp)
	f("/wxa/component/anything?access_token=x", "/wxa/component/anything?access_token="+comp)
	f("/no/such/path?component_access_token=x", "/no/such/path?component_access_token="+comp, forMerchant())
	f("/no/such/path?component_access_token=x&access_token=y", "/no/such/path?component_access_token="+comp, forMerchant())
	// Either: the account's only if one is named.
	f("/cgi-bin/openapi/quota/get", "/cgi-bin/openapi/quota/get?access_token="+comp)
	f("/cgi-bin/openapi/quota/get", "/cgi-bin/openapi/quota/get?access_token="+m1, forMerchant())
	f("/cgi-bin/openapi/quota/get", "/cgi-bin/openapi/quota/get?access_token="+comp, "X-Wechat-Appid: "+component)
	// A user's token is the app's.
	f("/sns/userinfo?access_token=user&from_appid=x", "/sns/userinfo?access_token=user&from_appid=x")
	f("/sns/auth?access_token=user", "/sns/auth?access_token=user", forMerchant())
	f("/sns/oauth2/refresh_token?access_token=x&appid=a&component_access_token=y", "/sns/oauth2/refresh_token?appid=a")
}

func TestForward_DefaultAccounts(t *testing.T) {
	up := newWeChat(t, echo)
	f := func(src *source, defaultAppID, path, want string) {
		t.Helper()
		s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}, DefaultAppID: defaultAppID})
		if got := s.call(t, "GET", path, ""); got.body != want {
			t.Errorf("default %q, GET %s = %d %q, want %q", defaultAppID, path, got.status, got.body, want)
		}
	}
	comp := broker.Account{AppID: component, Kind: broker.KindComponent, Component: component}
	comp2 := broker.Account{AppID: "wx00000000000000c2", Kind: broker.KindComponent, Component: "wx00000000000000c2"}
	acc := broker.Account{AppID: merchant, Kind: broker.KindAuthorizer, Component: component}
	alone := broker.Account{AppID: own, Kind: broker.KindAccount}
	f(newSource(comp, acc), "", "/cgi-bin/menu/get", "/cgi-bin/menu/get?access_token=tok-authorizer-"+merchant+"-1")
	f(newSource(alone), "", "/cgi-bin/menu/get", "/cgi-bin/menu/get?access_token=tok-account-"+own+"-1")
	f(newSource(alone), "", "/cgi-bin/getcallbackip", "/cgi-bin/getcallbackip?access_token=tok-account-"+own+"-1")
	f(platform(), own, "/cgi-bin/menu/get", "/cgi-bin/menu/get?access_token=tok-account-"+own+"-1")
	// A default account that has not authorised yet does not keep the component from
	// the calls by which it is to do so.
	f(newSource(comp), merchant, "/wxa/gettemplatelist", "/wxa/gettemplatelist?access_token=tok-component-"+component+"-1")
	f(newSource(comp), merchant, "/cgi-bin/getcallbackip", "/cgi-bin/getcallbackip?access_token=tok-component-"+component+"-1")
	// The default account says which of two components.
	f(newSource(comp, comp2, acc), merchant, "/wxa/gettemplatelist", "/wxa/gettemplatelist?access_token=tok-component-"+component+"-1")
	f(newSource(comp, comp2, acc), merchant, "/cgi-bin/getcallbackip", "/cgi-bin/getcallbackip?access_token=tok-component-"+component+"-1")
}

func TestForward_Faults(t *testing.T) {
	up := newWeChat(t, echo)
	src := platform()
	src.errs[authorizerKey(merchant)] = &broker.StateError{
		Key: authorizerKey(merchant), State: broker.StateNeedsAuthorization, Reason: `the merchant "A" must authorise again`, Errcode: 61023,
	}
	src.errs[authorizerKey(merchant2)] = &broker.StateError{
		Key: authorizerKey(merchant2), State: broker.StateWaitingTicket, Reason: "no ticket since 10:00", RetryAfter: 90 * time.Second,
	}
	f := func(as200 bool, path, appid string, status int, code string, errcode int, message string) {
		t.Helper()
		s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}, ErrorsAsHTTP200: as200})
		var headers []string
		if appid != "" {
			headers = append(headers, "X-Wechat-Appid: "+appid)
		}
		got := s.call(t, "GET", path, "", headers...)
		var parsed struct {
			Errcode int
			Errmsg  string
		}
		if err := json.Unmarshal([]byte(got.body), &parsed); err != nil {
			t.Errorf("%s: body %q: %v", path, got.body, err)
		}
		if got.status != status || got.fault() != code || parsed.Errcode != errcode || !strings.Contains(parsed.Errmsg, message) {
			t.Errorf("%s for %s = %d %s %q, want %d %s %d %q", path, appid, got.status, got.fault(), got.body, status, code, errcode, message)
		}
		if !strings.HasPrefix(parsed.Errmsg, "wxsidecar: ") || strings.HasSuffix(got.body, "\n") || strings.Contains(got.body, `\u`) || got.header.Get("X-Wxsidecar-Request-Id") == "" {
			t.Errorf("%s: %q %v", path, got.body, got.header)
		}
	}
	const path = "/cgi-bin/menu/get"
	f(false, path, "", 400, "no_account", 40013, "X-Wechat-Appid")
	f(true, path, "", 200, "no_account", 40013, "from_appid")
	f(false, path, "wxdeadbeefdeadbeef", 404, "unknown_account", 40013, "wxdeadbeefdeadbeef")
	f(false, path, "not an appid", 400, "bad_request", 48001, "appid")
	f(false, path, component, 400, "bad_request", 48001, "component")
	f(false, path, merchant, 403, "needs_authorization", 61023, `the merchant "A"`)
	f(false, path, merchant2, 503, "waiting_ticket", -1, "no ticket since")
	if n := up.calls.Load(); n != 0 {
		t.Errorf("%d calls reached WeChat", n)
	}
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	if got := s.call(t, "GET", path, "", "X-Wechat-Appid: "+merchant2); got.header.Get("Retry-After") != "90" {
		t.Errorf("Retry-After = %q, want 90", got.header.Get("Retry-After"))
	}
}

func TestForward_Busy(t *testing.T) {
	f := func(method string, calls int64) {
		t.Helper()
		up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"errcode":-1,"errmsg":"system error"}`)
		})
		s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
		got := s.call(t, method, "/cgi-bin/user/get", "", forMerchant())
		if up.calls.Load() != calls || !strings.Contains(got.body, "system error") {
			t.Errorf("%s: %d calls, want %d; %q", method, up.calls.Load(), calls, got.body)
		}
	}
	f("GET", 2)
	f("POST", 1)
}

// What WeChat sees is what the app sent, byte for byte, but for the token, the
// Host and what is hop-by-hop or ours.
func TestForward_ByteIdentical(t *testing.T) {
	type seen struct{ head, body string }
	got := make(chan seen, 1)
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		head, body, err := readRequest(br)
		if err == nil {
			got <- seen{head, string(body)}
			reply(c, okAnswer)
		}
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	body := "--B\r\nContent-disposition: form-data; name=\"media\"; filename=\"\xe4\xbd\xa0.jpg\"\r\ncontent-TYPE: image/jpeg\r\n\r\n\x00\xff\r\n--B--\r\n"
	rawCall(t, s.addr, "POST /cgi-bin/media/upload?type=image&x=%2f+%E4%bd%A0&&y HTTP/1.1\r\nHost: localhost\r\nx-oDD-case:  spaced \r\n"+
		"Content-Type: multipart/form-data; boundary=B\r\nAccept-Encoding: gzip\r\nX-Wechat-Appid: "+merchant+"\r\nConnection: X-Drop\r\nX-Drop: 1\r\n"+
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
	want := "POST /cgi-bin/media/upload?type=image&x=%2f+%E4%bd%A0&&y&access_token=tok-authorizer-" + merchant + "-1 HTTP/1.1\r\n" +
		"Host: " + strings.TrimPrefix(up.url, "http://") + "\r\nAccept-Encoding: identity\r\nx-oDD-case:  spaced \r\n" +
		"Content-Type: multipart/form-data; boundary=B\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
	one := <-got
	if one.head != want || one.body != body {
		t.Errorf("WeChat saw\n%q\n%q\nwant\n%q\n%q", one.head, one.body, want, body)
	}
}

func TestForward_AnswerPasses(t *testing.T) {
	answers := map[string]string{
		"/typed":    "HTTP/1.1 200 OK\r\nDate: D\r\nServer: s\r\nContent-Type: image/jpeg\r\nContent-disposition: attachment; filename=\"a\"\r\nX-Odd: 1\r\nSet-Cookie: a=b\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-Wxsidecar-Error: forged\r\nX-Wechat-Appid: forged\r\nX-Wechat-Component: forged\r\nContent-Length: 3\r\n\r\n\xff\xd8{",
		"/untyped":  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"/odd":      "HTTP/1.1 299 Odd Words\r\nContent-Length: 0\r\n\r\n",
		"/none":     "HTTP/1.1 204 No Content\r\n\r\n",
		"/chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n2;x=y\r\nhi\r\n0\r\nT: 1\r\n\r\n",
		"/closed":   "HTTP/1.0 200 OK\r\n\r\nhello",
		"/redirect": "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
		"/continue": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"/gzip":     "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 19\r\n\r\n{\"errcode\":40001}  ",
	}
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		head, _, err := readRequest(br)
		if err == nil {
			path, _, _ := strings.Cut(strings.Fields(head)[1], "?")
			io.WriteString(c, answers[path])
		}
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
	f := func(path string, status int, body string) answer {
		t.Helper()
		got := s.call(t, "GET", path, "", forMerchant())
		if got.err != nil || got.status != status || got.body != body {
			t.Errorf("%s: %d %q %v, want %d %q", path, got.status, got.body, got.err, status, body)
		}
		if len(got.header.Get("X-Wxsidecar-Request-Id")) != requestIDBytes || got.fault() != "" {
			t.Errorf("%s: %v", path, got.header)
		}
		return got
	}
	h := f("/typed", 200, "\xff\xd8{").header
	for name, want := range map[string]string{
		"Date": "D", "Server": "s", "Content-Type": "image/jpeg", "Content-Disposition": `attachment; filename="a"`,
		"X-Odd": "1", "Set-Cookie": "a=b", "X-Hop": "", "Keep-Alive": "", "Content-Length": "3",
		"X-Wechat-Appid": "", "X-Wechat-Component": "",
	} {
		if h.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, h.Get(name), want)
		}
	}
	if h := f("/untyped", 200, "hi").header; len(h["Content-Type"])+len(h["Server"])+len(h["Date"]) != 0 {
		t.Errorf("headers were added: %v", h)
	}
	f("/odd", 299, "")
	f("/none", 204, "")
	f("/chunks", 200, "hi")
	f("/closed", 200, "hello")
	if got := f("/redirect", 302, ""); got.header.Get("Location") == "" {
		t.Errorf("redirect: %v", got.header)
	}
	f("/continue", 200, "ok")
	f("/gzip", 200, "{\"errcode\":40001}  ")
	if n := up.conns.Load(); n != int64(len(answers)) {
		t.Errorf("%d upstream calls for %d answers", n, len(answers))
	}
}

func TestForward_Head(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "70000") })
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	for range 3 {
		got := s.call(t, "HEAD", "/cgi-bin/media/get", "", forMerchant())
		if got.status != 200 || got.header.Get("Content-Length") != "70000" {
			t.Errorf("%d %v %v", got.status, got.header, got.err)
		}
	}
}

// A small answer in chunks is held and looked at like any other.
func TestForward_ReplayOfChunkedAnswer(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		text := okAnswer
		if strings.HasSuffix(r.URL.RawQuery, "-1") {
			text = `{"errcode":40001}`
		}
		for _, c := range text {
			fmt.Fprintf(w, "%c", c)
			w.(http.Flusher).Flush()
		}
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	for range 2 {
		if got := s.call(t, "POST", "/x", "b", forMerchant()); got.body != okAnswer {
			t.Errorf("%q", got.body)
		}
	}
	if up.calls.Load() != 3 {
		t.Errorf("%d calls, want 3", up.calls.Load())
	}
}
