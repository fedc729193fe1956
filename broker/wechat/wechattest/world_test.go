package wechattest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	platform    = "wx7f00c0de00000001"
	other       = "wx7f00c0de00000002"
	platformKey = "platform-secret-0123456789abcdef"
	merchant    = "wxa1000000000000a1"
	own         = "wx00000000000000aa"
	ownKey      = "own-account-secret-0123456789abc"
	aesKey      = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// world is a WeChat with one platform, one merchant and one own account, and a
// client that calls it in memory.
type world struct {
	*wechattest.Server
	t  *testing.T
	rt http.RoundTripper
}

func newWorld(t *testing.T, o wechattest.Options) *world {
	t.Helper()
	if o.Seed == 0 {
		o.Seed = 7
	}
	s := wechattest.New(o)
	s.AddComponent(wechattest.Component{
		AppID: platform, Secret: platformKey, PushToken: "push-token-1",
		EncodingAESKey: aesKey, PushURL: "http://sidecar.test/wechat/" + platform + "/event",
		MessageURL: "http://sidecar.test/wechat/" + platform + "/message/$APPID$",
	})
	s.AddAuthorizer(platform, merchant)
	s.AddAccount(own, ownKey)
	return &world{Server: s, t: t, rt: s.Transport()}
}

// do sends one request and returns the response with its body read.
func (w *world) do(req *http.Request) (*http.Response, []byte) {
	w.t.Helper()
	resp, err := w.rt.RoundTrip(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("read the answer of %s: %v", req.URL.Path, err)
	}
	return resp, body
}

func request(method, target, body string) *http.Request {
	req, err := http.NewRequest(method, "https://api.weixin.qq.com"+target, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// call sends one request and returns the errcode and the members of the answer.
func (w *world) call(method, target, body string) (int, map[string]any) {
	w.t.Helper()
	_, raw := w.do(request(method, target, body))
	var members map[string]any
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&members); err != nil {
		w.t.Fatalf("answer of %s is not JSON: %q", target, raw)
	}
	switch code := members["errcode"].(type) {
	case float64:
		return int(code), members
	case string:
		var n int
		_ = json.Unmarshal([]byte(code), &n)
		return n, members
	}
	return 0, members
}

func (w *world) post(target string, members map[string]any) (int, map[string]any) {
	w.t.Helper()
	body, err := json.Marshal(members)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.call(http.MethodPost, target, string(body))
}

// must fails the test unless the call succeeded, and returns member name.
func (w *world) must(name string, code int, members map[string]any) string {
	w.t.Helper()
	value, _ := members[name].(string)
	if code != 0 || value == "" {
		w.t.Fatalf("errcode %d and no %s in %v", code, name, members)
	}
	return value
}

func (w *world) componentToken() string {
	w.t.Helper()
	code, m := w.post("/cgi-bin/component/api_component_token", map[string]any{
		"component_appid": platform, "component_appsecret": platformKey,
		"component_verify_ticket": w.NewTicket(platform),
	})
	return w.must("component_access_token", code, m)
}

func (w *world) refreshCall(component, refresh string) (int, map[string]any) {
	w.t.Helper()
	return w.post("/cgi-bin/component/api_authorizer_token?component_access_token="+component, map[string]any{
		"component_appid": platform, "authorizer_appid": merchant, "authorizer_refresh_token": refresh,
	})
}

func (w *world) authorizerToken() string {
	w.t.Helper()
	code, m := w.refreshCall(w.componentToken(), w.RefreshToken(platform, merchant))
	return w.must("authorizer_access_token", code, m)
}

func (w *world) plainToken() string {
	w.t.Helper()
	code, m := w.call(http.MethodGet, plainTarget(), "")
	return w.must("access_token", code, m)
}

func plainTarget() string {
	return "/cgi-bin/token?" + url.Values{"grant_type": {"client_credential"}, "appid": {own}, "secret": {ownKey}}.Encode()
}

func (w *world) stableToken(force bool) string {
	w.t.Helper()
	code, m := w.post("/cgi-bin/stable_token", map[string]any{
		"grant_type": "client_credential", "appid": own, "secret": ownKey, "force_refresh": force,
	})
	return w.must("access_token", code, m)
}

// menu calls a merchant path with the token and returns the errcode.
func (w *world) menu(token string) int {
	w.t.Helper()
	code, _ := w.call(http.MethodGet, "/cgi-bin/menu/get?access_token="+token, "")
	return code
}

func (w *world) wantCode(what string, got, want int) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: errcode %d, want %d", what, got, want)
	}
}

func (w *world) noViolations() {
	w.t.Helper()
	if v := w.Violations(); len(v) > 0 {
		w.t.Errorf("violations: %q", v)
	}
}
