package wechattest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// gateCodes is what a path of each rule answers a token of each kind in
// access_token: at the gate, before anything else.
var gateCodes = map[wechattest.Rule]map[string]int{
	wechattest.RuleAccount:       {"component": 48001, "authorizer": 0, "plain": 0, "stable": 0, "user": 40001, "": 41001},
	wechattest.RuleComponent:     {"component": 0, "authorizer": 61014, "plain": 61014, "stable": 61014, "user": 40001, "": 41001},
	wechattest.RuleComponentName: {"component": 41001, "authorizer": 41001, "plain": 41001, "stable": 41001, "user": 41001, "": 41001},
	wechattest.RuleEither:        {"component": 0, "authorizer": 0, "plain": 0, "stable": 0, "user": 40001, "": 41001},
	wechattest.RuleUser:          {"component": 40001, "authorizer": 40001, "plain": 40001, "stable": 40001, "user": 0, "": 41001},
	wechattest.RuleNone:          {"component": 0, "authorizer": 0, "plain": 0, "stable": 0, "user": 0, "": 0},
}

// refusedAtGate are the codes that only the gate gives.
var refusedAtGate = map[int]bool{40001: true, 40014: true, 41001: true, 42001: true, 48001: true, 61014: true, 61015: true}

func TestExceptions_EachIsHonoured(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	user, _ := w.UserToken(merchant)
	tokens := map[string]string{
		"component": w.componentToken(), "authorizer": w.authorizerToken(),
		"plain": w.plainToken(), "stable": w.stableToken(false), "user": user, "": "",
	}
	cases := append(wechattest.Exceptions(), wechattest.Exception{Path: "/cgi-bin/menu/get", Rule: wechattest.RuleAccount})
	for _, e := range cases {
		for kind, token := range tokens {
			want := gateCodes[e.Rule][kind]
			if kind == "component" && e.Rule == wechattest.RuleAccount && strings.HasPrefix(e.Path, "/cgi-bin/component/") {
				want = 61015
			}
			got := w.knock(e.Path, "access_token", token)
			if got != want && (want != 0 || refusedAtGate[got]) {
				t.Errorf("%s (%s) with a %q token: errcode %d, want %d", e.Path, e.Rule, kind, got, want)
			}
		}
	}
}

func TestExceptions_ParameterNames(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	component, authorizer := w.componentToken(), w.authorizerToken()
	for _, e := range wechattest.Exceptions() {
		want := 0
		switch e.Rule {
		case wechattest.RuleAccount, wechattest.RuleUser:
			want = 41001
		}
		got := w.knock(e.Path, "component_access_token", component)
		if got != want && (want != 0 || refusedAtGate[got]) {
			t.Errorf("%s (%s) with component_access_token: errcode %d, want %d", e.Path, e.Rule, got, want)
		}
	}
	w.wantCode("an authorizer's token under the component's name",
		w.knock("/cgi-bin/clear_quota", "component_access_token", authorizer), 61014)
}

// knock calls path, or one below a prefix, with the method it wants and a body
// that is right for no endpoint, so that only the gate's verdict counts.
func (w *world) knock(path, name, token string) int {
	w.t.Helper()
	path = strings.Replace(path, "*", "anything", 1)
	join := "?"
	if strings.Contains(path, "?") {
		join = "&"
	}
	target := path
	if token != "" {
		target += join + name + "=" + token
	}
	code, _ := w.call(http.MethodGet, target, "")
	if code == 43002 {
		code, _ = w.call(http.MethodPost, target, "{}")
	}
	return code
}

func TestExceptions_HaveDocLinks(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range wechattest.Exceptions() {
		if !strings.HasPrefix(e.Doc, "https://developers.weixin.qq.com/") {
			t.Errorf("%s has the doc link %q", e.Path, e.Doc)
		}
		if seen[e.Path] {
			t.Errorf("%s stands twice", e.Path)
		}
		seen[e.Path] = true
	}
}

func TestRuleOf(t *testing.T) {
	f := func(path, action string, want wechattest.Rule) {
		t.Helper()
		if got := wechattest.RuleOf(path, action); got != want {
			t.Errorf("RuleOf(%q, %q) = %s, want %s", path, action, got, want)
		}
	}
	f("/wxa/servicemarket", "", wechattest.RuleAccount)
	f("/wxa/servicemarket/x", "", wechattest.RuleComponent)
	f("/wxa/component/fastregisterpersonalweapp", "create", wechattest.RuleComponent)
	f("/wxa/setdefaultamsinfo", "set_share_ratio", wechattest.RuleComponent)
	f("/wxa/setdefaultamsinfo", "other", wechattest.RuleAccount)
	f("/cgi-bin/component/", "", wechattest.RuleAccount)
	f("/sns/userinfo", "", wechattest.RuleUser)
	f("/cgi-bin/message/custom/send", "", wechattest.RuleAccount)
}
