package proxy

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// refusal is what the log says of one call that was refused.
type refusal struct {
	Msg, Level, Path, AppID, Caller, Remote, Error string
	RequestID                                      string `json:"request_id"`
}

// A call that gets an error of ours is logged in one line, whatever went wrong: whose
// call it was, where it came from, and why, without pointing to the log.
func TestRefuse_LogsOneLine(t *testing.T) {
	t.Parallel()
	const secret = "0123456789abcdef0123456789abcdef"
	shop := callerOf("shop", secret)
	shop.Deny, shop.AppIDs = []string{"/cgi-bin/clear_quota"}, []string{merchant, component}
	broken := func(_ int, _ net.Conn, br *bufio.Reader) { readRequest(br) }
	deep := strings.Repeat(`{"a":`, maskDepth+1) + `1` + strings.Repeat(`}`, maskDepth+1)
	key := "X-Wxsidecar-Key: " + secret
	f := func(name string, serve serveFault, method, path, body, code, appid, caller, reason string, headers ...string) {
		t.Helper()
		up := newRaw(t, serve)
		src := platform()
		if name == "store" {
			src.errs[authorizerKey(merchant)] = errors.New("the disk is full")
		}
		var logged lockedBuffer
		o := Options{
			Source: src, Exchange: &exchange{}, Callers: []Caller{shop}, Log: slog.New(slog.NewJSONHandler(&logged, nil)),
			Upstream: UpstreamOptions{URL: up.url},
		}
		if name == "unreachable" {
			o.Upstream.URL = nobody
		}
		s := start(t, o)
		got := s.call(t, method, path, body, headers...)
		if got.fault() != code {
			t.Errorf("%s: %d %s %q %v, want %s", name, got.status, got.fault(), got.body, got.err, code)
		}
		lines := strings.Split(strings.TrimSpace(logged.String()), "\n")
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines, want one: %s", name, len(lines), logged.String())
		}
		var line refusal
		if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
			t.Fatal(err)
		}
		if line.Msg != "call refused" || line.AppID != appid || line.Caller != caller || line.RequestID != got.header.Get("X-Wxsidecar-Request-Id") {
			t.Errorf("%s: %s; want the appid %q and the caller %q", name, lines[0], appid, caller)
		}
		if p, _, _ := strings.Cut(path, "?"); line.Path == "" || !strings.HasSuffix(p, line.Path) {
			t.Errorf("%s: the path is %q", name, line.Path)
		}
		if host, port, err := net.SplitHostPort(line.Remote); err != nil || host != "127.0.0.1" || port == s.port() {
			t.Errorf("%s: remote %q", name, line.Remote)
		}
		if !strings.HasPrefix(line.Error, code+": ") || !strings.Contains(line.Error, reason) || strings.Contains(line.Error, "log") {
			t.Errorf("%s: the error is %q, want %q in it", name, line.Error, reason)
		}
		if strings.Contains(lines[0], secret) {
			t.Errorf("%s: a secret is in the log: %s", name, lines[0])
		}
	}
	f("path", broken, "GET", "/cgi-bin/clear_quota", "", "caller_refused", merchant, "shop", "deny has", key, forMerchant())
	f("account", broken, "GET", "/x", "", "caller_refused", merchant2, "shop", merchant2, key, "X-Wechat-Appid: "+merchant2)
	f("account of a form", broken, "GET", "/cgi-bin/token?appid="+merchant2+"&secret="+secret, "", "caller_refused", merchant2, "shop", merchant2)
	f("nobody's key", broken, "GET", "/x", "", "caller_refused", merchant, "", "key", "X-Wxsidecar-Key: z", forMerchant())
	f("a form's account", broken, "GET", "/cgi-bin/token?appid="+merchant+"&secret=z", "", "caller_refused", merchant, "", "callers that it knows")
	f("a body's account", broken, "POST", "/sns/jscode2session", "appid="+merchant+"&secret=z", "caller_refused", merchant, "", "callers that it knows")
	f("a page", broken, "GET", "/x?from_appid="+merchant, "", "browser_refused", merchant, "shop", "web page", key, "Origin: https://evil.example")
	f("a page's prefix", broken, "GET", "/"+merchant+"/x", "", "browser_refused", merchant, "", "web page", "Origin: https://evil.example")
	f("blank", broken, "GET", "/"+merchant+"/x?from_appid=", "", "bad_request", merchant, "shop", "not set", key)
	f("unknown", broken, "GET", "/wxdeadbeefdeadbeef/x", "", "unknown_account", "wxdeadbeefdeadbeef", "shop", "nobody knows", key)
	f("not an appid", broken, "GET", "/x?from_appid=%20"+secret, "", "bad_request", "", "shop", "appid", key)
	f("unreachable", broken, "POST", "/x", "b", "upstream_unreachable", merchant, "shop", "upstream.url: ", key, forMerchant())
	f("unreachable", broken, "GET", "/x", "", "upstream_unreachable", merchant, "shop", "upstream.url: ", key, forMerchant())
	f("broken", broken, "POST", "/x", "b", "answer_broken", merchant, "shop", "EOF", key, forMerchant())
	f("cut", sends("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"), "POST", "/x", "b", "answer_broken", merchant, "shop", "broke off", key, forMerchant())
	f("store", broken, "GET", "/x", "", "store_unavailable", merchant, "shop", "the disk is full", key, forMerchant())
	f("internal", sends(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(deep), deep)),
		"POST", "/cgi-bin/component/api_get_authorizer_list", "{}", "internal", component, "shop", "nested", key)
}

// What was asked for is logged too where the head of a call is refused, and a void
// handle in words of our own: nobody is to look for the fault at WeChat.
func TestRefuse_LogsPathOfRefusedHead(t *testing.T) {
	t.Parallel()
	f := func(host, path, header, code, wantPath, wantAppID, reason string) {
		t.Helper()
		var logged lockedBuffer
		s := start(t, Options{Source: platform(), Callers: []Caller{callerOf("shop", "k1")}, Log: slog.New(slog.NewJSONHandler(&logged, nil))})
		req, err := http.NewRequest("GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
		got := s.do(req)
		var line refusal
		if err := json.Unmarshal([]byte(logged.String()), &line); err != nil {
			t.Fatalf("%s: %v %s: not one line: %s", path, got.status, got.body, logged.String())
		}
		if got.fault() != code || line.Path != wantPath || line.AppID != wantAppID || !strings.HasPrefix(line.Error, code+": "+reason) {
			t.Errorf("%s: %s, logged %s", path, got.fault(), logged.String())
		}
	}
	f("", "/cgi-bin/menu/get?x=1", "X-Wechat-Appid: ", "bad_request", "/cgi-bin/menu/get", "", "the header X-Wechat-Appid")
	f("", "/"+merchant+"/cgi-bin/menu/get", "Origin: https://x.example", "browser_refused", "/cgi-bin/menu/get", merchant, "a web page")
	f("evil.example", "/"+merchant+"/cgi-bin/menu/get", "X: y", "forbidden_host", "/cgi-bin/menu/get", merchant, "the host")
	f("", "/cgi-bin/%2e/x", "X: y", "bad_request", "", "", "the path")
	f("", "/cgi-bin/menu/get?access_token=wxs_x", "X: y", "bad_handle", "/cgi-bin/menu/get", "", "this handle")
}

// What is no call yet, and CONNECT, are logged in the same way.
func TestRefuse_LogsWhatIsNoCall(t *testing.T) {
	f := func(name, request, code, caller, reason string) {
		t.Helper()
		var logged lockedBuffer
		s := start(t, Options{
			Source: platform(), Callers: []Caller{callerOf("shop", "k1")}, Log: slog.New(slog.NewJSONHandler(&logged, nil)),
			Connect: ConnectOptions{Allow: []string{"127.0.0.1:1"}},
		})
		app, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		io.WriteString(app, request)
		got, _ := io.ReadAll(app)
		if !strings.Contains(string(got), "X-Wxsidecar-Error: "+code+"\r\n") {
			t.Errorf("%s: %q, want %s", name, got, code)
		}
		var line refusal
		if err := json.Unmarshal([]byte(logged.String()), &line); err != nil {
			t.Errorf("%s: not one line: %s", name, logged.String())
		}
		if line.Msg != "call refused" || line.Remote != app.LocalAddr().String() || line.Caller != caller || !strings.Contains(line.Error, reason) {
			t.Errorf("%s: %s", name, logged.String())
		}
	}
	const credentials = "Proxy-Authorization: Basic eDprMQ==\r\n" // x:k1
	f("no HTTP", "nonsense\r\n\r\n", "bad_request", "", "cannot be read")
	f("CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n"+credentials+"\r\n", "connect_refused", "shop", "evil.example")
	f("CONNECT to nobody", "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"+credentials+"\r\n", "connect_failed", "shop", "connection refused")
}
