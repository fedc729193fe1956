package admin_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

func smallOperated(t *testing.T) *operated {
	t.Helper()
	return newOperated(t, 3, memstore.New(memstore.Options{}))
}

// The page is in the language of the browser, or in that which was chosen.
func TestPage_Languages(t *testing.T) {
	o := smallOperated(t)
	f := func(path, want, title string, headers ...string) {
		t.Helper()
		res := send(o.handler, "GET", path, "", headers...)
		if res.Header().Get("Content-Language") != want || !strings.Contains(res.Body.String(), `<html lang="`+want+`">`) || !strings.Contains(res.Body.String(), title) {
			t.Errorf("%s %v: %s", path, headers, res.Header().Get("Content-Language"))
		}
	}
	f("/", "en", "WeChat&#39;s hosts")
	f("/", "zh-CN", "微信的域名", "Accept-Language: zh-CN,zh;q=0.9")
	f("/?lang=en", "en", "WeChat&#39;s hosts", "Accept-Language: zh")
	f("/?lang=fr", "zh-CN", "微信的域名", "Accept-Language: zh")
	f("/", "en", "Components", "Accept-Language: zh", "Cookie: wxsidecar-language=en")
	f("/?lang=zh-CN", "zh-CN", "第三方平台", "Cookie: wxsidecar-language=en")
	f("/", "en", "Components", "Cookie: wxsidecar-language=<b>")
	c := send(o.handler, "GET", "/?lang=zh-CN", "").Result().Cookies()
	if len(c) != 1 || c[0].Value != "zh-CN" || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookie is %v", c)
	}
	if c := send(o.handler, "GET", "/?lang=fr", "").Result().Cookies(); len(c) != 0 {
		t.Errorf("a cookie for a language that there is not: %v", c)
	}
}

// What waits for an app is said in the page's language, and is not marked as of another.
func TestPage_WaitingEventsInItsLanguage(t *testing.T) {
	o := smallOperated(t)
	o.outbox.waiting = 4
	o.wants(o.page("/?lang=zh-CN"), `<p class="detail">等待应用接收的事件：4 个`)
	o.wants(o.page("/?lang=en"), `<p class="detail">Events that wait`)
}

// What is wrong leads to the runbook in the language of the page.
func TestPage_RunbookInItsLanguage(t *testing.T) {
	o := smallOperated(t) // a host is out
	f := func(lang, want, other string) {
		t.Helper()
		page := o.page("/?lang=" + lang)
		if !strings.Contains(page, "/docs/"+want+`#wechat-does-not-answer"`) || strings.Contains(page, "/docs/"+other+"#") {
			t.Errorf("%s: the page does not lead to docs/%s alone", lang, want)
		}
	}
	f("en", "operations.md", "operations.zh-CN.md")
	f("zh-CN", "operations.zh-CN.md", "operations.md")
}

// What the page may do is bound by its headers, and it has nothing that they forbid.
func TestPage_Headers(t *testing.T) {
	o := smallOperated(t)
	res := send(o.handler, "GET", "/", "")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"Cache-Control":           "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Type": "text/html; charset=utf-8", "Referrer-Policy": "same-origin",
	} {
		if got := res.Header().Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if m := regexp.MustCompile(`(?i)<style|style=|\son\w+=|<script>|javascript:`).FindString(res.Body.String()); m != "" {
		t.Errorf("the page has %q, which its policy forbids", m)
	}
	for path, want := range map[string]string{"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"} {
		if res := send(o.handler, "GET", path, ""); res.Code != 200 || res.Header().Get("Content-Type") != want || res.Body.Len() < 500 {
			t.Errorf("%s: %d %s", path, res.Code, res.Header().Get("Content-Type"))
		}
	}
	f := func(method, path string, want int, allow string) {
		t.Helper()
		if res := send(o.handler, method, path, ""); res.Code != want || res.Header().Get("Allow") != allow {
			t.Errorf("%s %s: %d, Allow %q", method, path, res.Code, res.Header().Get("Allow"))
		}
	}
	f("HEAD", "/", 200, "")
	f("POST", "/", 405, "GET, HEAD")
	f("POST", "/page.js", 405, "GET, HEAD")
	f("DELETE", "/act/reload", 405, "GET, HEAD, POST")
	f("GET", "/favicon.ico", 404, "")
	f("GET", "/act/reload", 303, "")
}

// Whatever others write is text.
func TestPage_WhatOthersWriteIsText(t *testing.T) {
	o := smallOperated(t)
	const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`
	o.ticket()
	o.sim.Fault("/cgi-bin/stable_token", wechattest.Fault{Errcode: 45009, Errmsg: hostile})
	for _, appID := range o.sim.Authorizers(pageComponent) {
		o.sim.SetProfile(pageComponent, appID, wechattest.Profile{NickName: hostile})
	}
	now := time.Now()
	o.pushes.events = []push.Record{{Time: now, Component: pageComponent, AppID: hostile, Type: hostile, ID: hostile, Result: hostile}}
	o.pushes.messages = []push.Record{{Time: now, AppID: hostile, Type: "event", Event: hostile, Result: "ok"}}
	o.outbox.dead = []outbox.DeadLetter{{Event: outbox.Event{ID: hostile, AppID: hostile, InfoType: hostile, Text: secret.New("what WeChat wrote")}, Died: now, Reason: hostile}}
	o.broker.Renew(o.broker.Admin().OwnAccounts()[0].Key())
	o.until("WeChat's words are shown", func() bool {
		return strings.Contains(o.page("/"), "alert(1)") && o.broker.Admin().OwnAccounts()[0].Trouble != nil
	})
	for _, path := range []string{"/", "/?q=" + "%3Cscript%3Ealert(1)%3C/script%3E%22%27%3E", "/?did=renew&of=%3Cscript%3Ealert(1)"} {
		page := o.page(path)
		o.wants(page, "&lt;script&gt;", "&lt;b&gt;out&lt;/b&gt;")
		if strings.Contains(page, "<script>") || strings.Contains(page, "<img") || strings.Contains(page, "<b>") || strings.Contains(page, "what WeChat wrote") {
			t.Errorf("%s: what others write is markup:\n%s", path, page)
		}
	}
	for _, s := range append(o.sim.Secrets(), pageSecret) {
		if strings.Contains(o.page("/"), s) {
			t.Errorf("the page has a secret of %d characters", len(s))
		}
	}
}

// Accounts are found by appid and state, and listed in pages.
func TestPage_FindsAccounts(t *testing.T) {
	o := newOperated(t, 60, memstore.New(memstore.Options{}))
	o.ticket()
	all := o.sim.Authorizers(pageComponent)
	row := func(appID string) string { return `<span class="text" data-state="name">` + appID + `</span>` }
	first := o.page("/")
	o.wants(first, row(pageOwn), row(all[0]), "Next page")
	if strings.Contains(first, row(all[59])) {
		t.Error("the first page has the last account")
	}
	next := regexp.MustCompile(`href="(/\?cursor=[^"#]+)#accounts"`).FindStringSubmatch(first)
	if next == nil {
		t.Fatalf("no next page in\n%s", first)
	}
	second := o.page(next[1])
	o.wants(second, row(all[59]), "First page")
	found := o.page("/?q=" + all[59])
	o.wants(found, row(all[59]), `value="`+all[59]+`"`)
	if strings.Contains(found, row(all[0])) {
		t.Error("a search finds others")
	}
	o.sim.VoidRefreshToken(pageComponent, all[7])
	if _, _, err := o.broker.Admin().Renew(t.Context(), o.accountKey(all[7])); err != nil {
		t.Fatal(err)
	}
	o.until("it is in trouble", func() bool { return strings.Contains(o.page("/?state=trouble"), row(all[7])) })
	troubled := o.page("/?state=trouble")
	o.wants(troubled, `<option value="trouble" selected>`, "The token cannot be renewed · merchant "+all[7])
	if strings.Contains(troubled, row(all[0])) {
		t.Error("those in trouble are others too")
	}
	o.wants(o.page("/?q=nobody"), "No account is like that.")
	if res := send(o.handler, "GET", "/?state=wrong", ""); res.Code != 400 || !strings.Contains(res.Body.String(), "give trouble, or one of") {
		t.Errorf("a state that there is not: %d", res.Code)
	}
}

// Of a shared store the page says how it is, what this sidecar does in it, and what is known of
// the others.
func TestPage_SharedStore(t *testing.T) {
	records := memstore.New(memstore.Options{})
	own := records.Shared("own")
	o := newOperated(t, 2, own)
	o.ticket()
	o.wants(o.page("/"), "Answers", "Delivers events", "None has written since the start", "Renewals made alone")
	other := newOperatedBy(t, o.sim, records.Shared("other"))
	other.ticket()
	other.broker.Renew(other.broker.Admin().OwnAccounts()[0].Key())
	o.until("the other is seen", func() bool { return strings.Contains(o.page("/"), "One wrote") })
	// The other started later, and knows the first at once.
	o.outbox.by, other.outbox.by = "", "own"
	other.until("the first is listed", func() bool {
		return strings.Contains(other.page("/"), `id="replicas"`) && strings.Contains(other.page("/"), ">own<")
	})
	other.wants(other.page("/"), "Replicas on this store", ">other<", "this one", "Running", "last seen", "Delivers events", "Another replica delivers events")
	other.wants(other.page("/", "Accept-Language: zh"), "此存储上的副本", "本副本", "运行中", "最近一次出现", "投递事件")
	own.Down(errors.New("the network is cut <here>"))
	o.until("it is away", func() bool { return strings.Contains(o.page("/"), "since ") })
	o.wants(o.page("/"), "The store does not answer", "Does not answer", "the network is cut &lt;here&gt;", "Start Redis again")
	o.wants(o.page("/", "Accept-Language: zh"), "存储没有响应", "恢复存储（Redis）")
	own.Down(nil)
	o.until("it is back", func() bool { return !strings.Contains(o.page("/"), "The store does not answer") })
}
