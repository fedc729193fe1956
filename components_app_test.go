package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// appAnswer is what an app got.
type appAnswer struct {
	status int
	fault  string // X-Wxsidecar-Error
	body   string
	fields map[string]any
}

func (a appAnswer) ok() bool {
	code, _ := a.fields["errcode"].(float64)
	return a.status == http.StatusOK && a.fault == "" && code == 0
}

// call makes an app's call; headers are "Name: value". It may be made from any goroutine.
func (w *componentsWorld) call(method, target, body string, headers ...string) appAnswer {
	req, err := http.NewRequest(method, "http://"+w.log.at("apps")+target, strings.NewReader(body))
	if err != nil {
		return appAnswer{body: err.Error()}
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return appAnswer{body: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return appAnswer{body: err.Error()}
	}
	a := appAnswer{status: resp.StatusCode, fault: resp.Header.Get("X-Wxsidecar-Error"), body: string(text)}
	_ = json.Unmarshal(text, &a.fields) // of what is no JSON there are none
	return a
}

// through is a call of an account that must be made with the token of that component, if
// it is made at all: [componentsWorld.wantTokens] compares.
func (w *componentsWorld) through(component, target string, headers ...string) appAnswer {
	mark := "?"
	if strings.Contains(target, "?") {
		mark = "&"
	}
	return w.call(http.MethodGet, target+mark+"through="+component, "", headers...)
}

// wantTokens wants every call so far to have had the token of the component that it was
// made for, and the simulator to have met nothing that it never should.
func (w *componentsWorld) wantTokens() {
	w.t.Helper()
	n := map[string]int{}
	for _, r := range w.sim.Requests() {
		target, err := url.Parse(r.URI)
		if err != nil {
			w.t.Fatal(err)
		}
		component := target.Query().Get("through")
		if component == "" {
			continue
		}
		n[component]++
		if r.TokenKind != wechattest.KindAuthorizer || r.TokenComponent != component {
			w.t.Errorf("%s was made with a token of %s %s, %s", r.URI, r.TokenKind, r.TokenAppID, r.TokenComponent)
		}
	}
	if n[worldFirst] == 0 || n[worldSecond] == 0 {
		w.t.Errorf("WeChat saw %v calls", n)
	}
	if v := w.sim.Violations(); len(v) > 0 {
		w.t.Errorf("WeChat saw what it never should: %s", strings.Join(v, "; "))
	}
}

// handleOf has a platform's SDK fetch its handle for a merchant, as it would tokens.
func (w *componentsWorld) handleOf(component, appID string) string {
	w.t.Helper()
	const path = "/cgi-bin/component/"
	a := w.call(http.MethodPost, path+"api_component_token",
		`{"component_appid":"`+component+`","component_appsecret":"key-all","component_verify_ticket":"held-by-wxsidecar"}`)
	token, _ := a.fields["component_access_token"].(string)
	b := w.call(http.MethodPost, path+"api_authorizer_token?component_access_token="+token,
		`{"component_appid":"`+component+`","authorizer_appid":"`+appID+`","authorizer_refresh_token":"held-by-wxsidecar"}`)
	handle, _ := b.fields["authorizer_access_token"].(string)
	if !strings.HasPrefix(handle, "wxs_a_"+appID+"_"+component+"_") {
		w.t.Fatalf("%s fetched %d %s, and %d %s", component, a.status, a.body, b.status, b.body)
	}
	return handle
}
