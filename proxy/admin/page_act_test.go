package admin_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func (o *operated) accountKey(appID string) broker.Key {
	o.t.Helper()
	all, err := o.broker.Admin().AccountsOf(o.t.Context(), appID)
	if err != nil || len(all) != 1 {
		o.t.Fatalf("%s: %d accounts, %v", appID, len(all), err)
	}
	return all[0].Key()
}

// A form acts once, is logged, and leads back to the page as it was.
func TestPage_FormsAct(t *testing.T) {
	o := smallOperated(t)
	o.ticket()
	merchant := o.sim.Authorizers(pageComponent)[0]
	f := func(path, back, location string) {
		t.Helper()
		o.log.Reset()
		status, to, body := o.submit(path, back)
		if status != http.StatusSeeOther || to != location {
			t.Errorf("%s: %d to %s, want %s: %s", path, status, to, location, body)
		}
		if !strings.Contains(o.log.String(), "an operator acts") {
			t.Errorf("%s is not logged: %s", path, o.log)
		}
	}
	before := o.sim.TokensIssued(merchant)
	f("accounts/"+merchant+"/renew?wait=5s&component="+pageComponent, "q%3Dwx%26state%3Dlive%26evil%3D1", "/?did=renew&of="+merchant+"&q=wx&state=live")
	if n := o.sim.TokensIssued(merchant); n != before+1 {
		t.Errorf("%d tokens were issued, want one", n-before)
	}
	f("components/"+pageComponent+"/renew?wait=5s", "", "/?did=renew&of="+pageComponent)
	f("components/"+pageComponent+"/reconcile", "", "/?did=reconcile&of="+pageComponent)
	f("budgets/reset", "https://evil.example/", "/?did=reset")
	f("dead-letters/redeliver", "", "/?did=redeliver")
	o.outbox.dead = []outbox.DeadLetter{{Event: outbox.Event{ID: "a/b"}, Died: time.Now()}}
	f("dead-letters/1/redeliver", "", "/?did=redeliver")
	if !slices.Equal(o.outbox.redelivered, []string{"all", "1"}) {
		t.Errorf("delivered again: %v", o.outbox.redelivered)
	}
	o.wants(o.page("/?did=renew&of="+merchant), "Renewed · "+merchant)
	o.wants(o.page("/?did=renew&of="+merchant, "Accept-Language: zh"), "已刷新 · "+merchant)
	if text := o.page("/?did=nonsense&of=x"); strings.Contains(text, `role="status"`) {
		t.Error("anything can be said to be done")
	}
}

// What did not work is said at once, in the words of the cause.
func TestPage_FormsThatFail(t *testing.T) {
	o := smallOperated(t)
	o.ticket()
	o.sim.Fault("/cgi-bin/stable_token", wechattest.Fault{Errcode: 40164})
	f := func(path string, status int, parts ...string) {
		t.Helper()
		got, _, body := o.submit(path, "")
		if got != status {
			t.Errorf("%s: %d, want %d", path, got, status)
		}
		o.wants(body, parts...)
	}
	f("accounts/"+pageOwn+"/renew?wait=5s", 200, "It did not work", "40164", "IP白名单")
	f("accounts/wxdeadbeefdeadbeef/renew", 404, "neither configured nor authorised")
	f("components/"+pageOwn+"/renew", 404, "is not configured under components")
	f("accounts/"+pageOwn+"/renew?wait=1h", 400, "wait is")
	f("reload", 200, "It did not work")
	f("components/"+pageComponent+"/link", 200, "Send this page to the merchant")
}

// Only the page's own forms act, and only those that it has.
func TestPage_RefusesOthersForms(t *testing.T) {
	o := smallOperated(t)
	f := func(path string, status int, headers ...string) {
		t.Helper()
		res := send(o.handler, "POST", "/act/"+path, "back=", append(headers, "Content-Type: application/x-www-form-urlencoded")...)
		if res.Code != status {
			t.Errorf("%s %v: %d, want %d: %s", path, headers, res.Code, status, res.Body)
		}
	}
	const own = "Origin: http://127.0.0.1:7083"
	f("dead-letters/redeliver", 403)
	f("dead-letters/redeliver", 403, "Origin: https://evil.example")
	f("dead-letters/redeliver", 403, "Origin: null")
	f("dead-letters/redeliver", 403, "Sec-Fetch-Site: cross-site")
	f("dead-letters/redeliver", 403, "Sec-Fetch-Site: none")
	f("dead-letters/redeliver", 403, own, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	f("dead-letters/redeliver", 403, "Host: evil.example", "Origin: http://evil.example")
	f("quit", 404, own)
	f("log", 404, own)
	f("accounts/"+pageOwn+"/forget", 404, own)
	f("status", 404, own)
	f("", 404, own)
	if len(o.outbox.redelivered) != 0 || o.control.quits != 0 || strings.Contains(o.log.String(), "an operator acts") {
		t.Errorf("something was done: %v, %d quits: %s", o.outbox.redelivered, o.control.quits, o.log)
	}
	f("dead-letters/redeliver", 303, own)
	f("dead-letters/redeliver", 303, "Sec-Fetch-Site: same-origin")
}
