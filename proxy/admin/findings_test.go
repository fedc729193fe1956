package admin

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// well is the status of a sidecar with which nothing is wrong.
func well() *Status {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	received, dies := now.Add(-time.Minute), now.Add(time.Hour)
	key := func(kind, appID string) broker.AccountStatus {
		return broker.AccountStatus{KeyStatus: broker.KeyStatus{Kind: kind, AppID: appID, State: "live", ExpiresAt: &dies}, InUse: true}
	}
	return &Status{
		State: "serving", Now: now,
		Components: []broker.ComponentStatus{{AccountStatus: key("component", "wxc"), Ticket: broker.TicketInfo{ReceivedAt: &received}}},
		Accounts:   []broker.AccountStatus{key("account", "wxo")},
		WeChat:     Hosts{Hosts: []Host{{Name: "api.weixin.qq.com"}}},
	}
}

// wantDetail wants what a finding says in both languages, with what others said as it is.
func wantDetail(t *testing.T, f *Finding, said ...string) {
	t.Helper()
	english, chinese := pageEnglish.detailOf(f), pageChinese.detailOf(f)
	for _, text := range []string{english, chinese} {
		if text == "" || strings.Contains(text, "%!") || strings.Contains(text, "<nil>") {
			t.Errorf("%s: the detail is %q", f.Code, text)
		}
		for _, one := range said {
			if !strings.Contains(text, one) {
				t.Errorf("%s: %q is not in %q", f.Code, one, text)
			}
		}
	}
	if !han.MatchString(chinese) || ours.MatchString(chinese) {
		t.Errorf("%s: in Chinese: %q", f.Code, chinese)
	}
	if han.MatchString(strings.NewReplacer("消息校验Token", "", "消息加解密Key", "", "授权事件接收URL", "").Replace(english)) {
		t.Errorf("%s: in English: %q", f.Code, english)
	}
}

// ours are words that the sidecar's own sentences in English have.
var (
	han  = regexp.MustCompile(`\p{Han}`)
	ours = regexp.MustCompile(`\b(the|is|are|was|its|and|cannot)\b`)
)

// Each thing that can be wrong is one finding, with what to do and how urgent it is. There is no
// other.
func TestFindings(t *testing.T) {
	seen := map[string]bool{}
	f := func(code string, severity Severity, message string, spoil func(s *Status)) {
		t.Helper()
		s := well()
		spoil(s)
		all := findings(s)
		if len(all) != 1 || all[0].Code != code || all[0].Severity != severity || !strings.Contains(all[0].Message, message) || all[0].Cure == "" || all[0].Runbook == "" {
			t.Errorf("%s: %+v", code, all)
			return
		}
		seen[code] = true
		wantDetail(t, &all[0])
	}
	if all := findings(well()); len(all) != 0 {
		t.Errorf("nothing is wrong: %+v", all)
	}
	at := well().Now
	trouble := func(cause, reason string) *broker.Trouble {
		return &broker.Trouble{Cause: cause, Reason: reason, Since: at, Why: broker.WhyRefused, Said: reason}
	}
	f("draining", Note, "told to stop", func(s *Status) { s.State = "draining" })
	f("reload_refused", Warning, "c.yaml:2", func(s *Status) { s.LastReload = &ReloadResult{Faults: []string{"c.yaml:2: x"}} })
	f("clock_wrong", Warning, "our clock is 90 s ahead of", func(s *Status) { s.Clock.SkewSeconds = -90 })
	f("store_unreadable", Critical, "disk", func(s *Status) { s.Storage.Error = "disk" })
	f("store_unreadable", Critical, "share does not answer: reset", func(s *Status) {
		s.Storage.Error, s.Shared = "reset", &broker.CoordinationStatus{State: "degraded", Error: "reset", Since: &at}
	})
	f("store_unwritable", Critical, "7 keys, which are served from memory: no space left", func(s *Status) { s.Storage.Unsaved, s.Storage.UnsavedReason = 7, "no space left" })
	f("store_unwritable", Critical, "nothing is renewed: OOM", func(s *Status) { s.Shared = &broker.CoordinationStatus{State: "ok", Refused: "OOM"} })
	f("store_repaired", Warning, "moved aside to /x.damaged, and a new one begun with 3 records", func(s *Status) {
		s.Storage.Repaired = &Repair{Reason: "page 7", MovedTo: "/x.damaged", Kept: 3}
	})
	f("proxy_unreachable", Critical, "upstream.proxy", func(s *Status) { s.WeChat.Outage, s.WeChat.ProxyFails, s.WeChat.Fault = "away", true, "refused" })
	f("wechat_unreachable", Critical, "wait for its return: no such host", func(s *Status) { s.WeChat.Outage, s.WeChat.Fault = "WeChat does not answer", "no such host" })
	f("wechat_unreachable", Critical, "does not answer", func(s *Status) { // the hosts say no more
		s.WeChat.Outage, s.WeChat.Hosts[0].Failures, s.WeChat.Hosts[0].OutUntil = "WeChat does not answer", 3, &at
	})
	f("host_out", Warning, "api.weixin.qq.com has failed 3 calls", func(s *Status) { s.WeChat.Hosts[0].Failures, s.WeChat.Hosts[0].OutUntil = 3, &at })
	f("waiting_ticket", Critical, "ticket missing; 4 keys wait for it", func(s *Status) {
		s.Components[0].State, s.Components[0].Reason, s.Components[0].Ticket.ReceivedAt = "waiting_ticket", "ticket missing", nil
		s.Keys.Blocked = map[string]int{"wxc": 4}
	})
	f("renewing", Warning, "", func(s *Status) { s.Components[0].State = "renewing" })
	f("misconfigured", Warning, "its token lives until 2026-01-02T04:04:05Z and cannot be renewed: 61004", func(s *Status) {
		s.Accounts[0].Trouble = trouble("misconfigured", "61004")
	})
	f("quota_exhausted", Critical, "45009", func(s *Status) {
		s.Accounts[0].State, s.Accounts[0].Reason, s.Accounts[0].Trouble = "quota_exhausted", "45009", trouble("quota_exhausted", "45009")
	})
	f("ticket_late", Warning, "pushes come and are refused (forged): compare; ", func(s *Status) {
		s.Components[0].Ticket.ReceivedAt = nil
		s.Components[0].RefusedPush = &broker.RefusedPush{Cause: "forged", Advice: "compare; "}
	})
	f("misconfigured", Critical, "61004", func(s *Status) { // the first ticket may be on its way for 25 minutes
		s.Components[0].State, s.Components[0].Reason, s.Components[0].Ticket.ReceivedAt = "misconfigured", "61004", nil
		s.StartedAt = s.Now.Add(-24 * time.Minute)
	})
	f("list_unread", Warning, "broke", func(s *Status) { s.Components[0].List.Error = "broke" })
	group := func(cause string, count, hidden int) func(*Status) {
		return func(s *Status) {
			s.Keys.Troubles = []broker.TroubleGroup{{Component: "wxc", Cause: cause, Count: count, Hidden: hidden, AppIDs: []string{"wxa"}, Reason: "why", Why: broker.WhyRefused, Said: "why"}}
		}
	}
	f("misconfigured", Critical, "3 merchants, 1 of them still with a living token: why", group("misconfigured", 3, 1))
	f("retrying", Warning, "3 merchants", group("retrying", 3, 3))
	f("needs_authorization", Warning, "why", group("needs_authorization", 1, 0))
	f("unauthorized", Note, "2 merchants", group("unauthorized", 2, 0))
	f("displaced", Warning, "authorizer/wxa/wxc", func(s *Status) { s.Keys.Displaced = []string{"authorizer/wxa/wxc"} })
	f("events_late", Warning, "5 events wait for an app, the oldest for 20 minutes", func(s *Status) { s.Outbox = OutboxStatus{Waiting: 5, OldestSeconds: 1200} })
	f("dead_letters", Warning, "2 events were given up", func(s *Status) { s.Outbox.DeadLetters = 2 })
	f("unknown", Warning, "", func(s *Status) { s.Accounts[0].State = "unknown" })
	for code := range pageChinese.findings {
		if !seen[code] && !slices.Contains([]string{wrongSecret, wrongAppID, addressNotListed, addressUnconfirmed, addressRefused}, code) {
			t.Errorf("nothing was %s", code)
		}
	}
}

// Why a renewal failed is said in both languages, with the words of others in it where there are
// some.
func TestFindings_EachWhy(t *testing.T) {
	for _, why := range append(broker.Whys(), "asked_for", "not_in_use") {
		said := ""
		switch why {
		case broker.WhyRefused, broker.WhyNoAnswer, broker.WhyStoreAway, broker.WhyOther:
			said = "errcode 40164: invalid ip 10.9.8.7"
		}
		f := because(Finding{Code: why}, "reason", why, said)
		if wantDetail(t, &f, said); f.Message != "reason" {
			t.Errorf("%s: the message is %q", why, f.Message)
		}
	}
}

// What is refused of pushes has its cure in both languages, beside a missing ticket and beside one
// that is late.
func TestFindings_EachRefusedPush(t *testing.T) {
	for _, cause := range []string{
		"forged", "padding", "frame", "foreign_appid", "unknown_component", "unknown_path", "outside_window", "cut_off", "too_large", "parameters", "busy", "malformed",
	} {
		for _, state := range []string{"live", "waiting_ticket"} {
			s := well()
			s.Components[0].State, s.Components[0].Ticket.ReceivedAt, s.Components[0].Ticket.Refused = state, nil, "errcode 61004"
			s.Components[0].RefusedPush = &broker.RefusedPush{Cause: cause, Advice: "advice"}
			all := findings(s)
			if len(all) != 1 {
				t.Fatalf("%s: %+v", cause, all)
			}
			wantDetail(t, &all[0], cause, "errcode 61004")
		}
	}
}

// The worst comes first, whatever was looked at first.
func TestFindings_WorstFirst(t *testing.T) {
	s := well()
	s.State, s.Clock.SkewSeconds, s.Storage.Error = "draining", 90, "disk"
	s.Outbox.DeadLetters = 1
	var got []string
	for _, f := range findings(s) {
		got = append(got, string(f.Severity)+" "+f.Code)
	}
	if want := "critical store_unreadable, warning clock_wrong, warning dead_letters, note draining"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %s", got, want)
	}
}

// What a person can do depends on WeChat's errcode, and on whose setting it is.
func TestFindings_CuresByErrcode(t *testing.T) {
	f := func(errcode int, component, account string) {
		t.Helper()
		for kind, want := range map[string]string{"component": component, "account": account} {
			s := &broker.AccountStatus{KeyStatus: broker.KeyStatus{Kind: kind, AppID: "wx1", State: "misconfigured", Trouble: &broker.Trouble{Cause: "misconfigured", Errcode: errcode}}}
			if all := ofKey(s); len(all) != 1 || !strings.Contains(all[0].Cure, want) || all[0].Errcode != errcode {
				t.Errorf("%d of the %s: %+v, want %s", errcode, kind, all, want)
			}
		}
	}
	f(40125, "set components[].secret to the AppSecret in open.weixin.qq.com", "set accounts[].secret to the AppSecret in mp.weixin.qq.com")
	f(40013, "compare components[].appid", "compare accounts[].appid")
	f(61004, "to 白名单IP地址列表 in open.weixin.qq.com, then: wxsidecar renew wx1", "to IP白名单 in mp.weixin.qq.com, then: wxsidecar renew wx1")
	f(40164, "白名单IP地址列表", "IP白名单")
	f(45035, "白名单IP地址列表 in open.weixin.qq.com, then", "IP白名单 in mp.weixin.qq.com (微信小店: channels.weixin.qq.com/shop), then")
	f(89503, "must confirm our address", "must confirm our address")
	f(89506, "has refused our address", "has refused our address")
	f(40097, "do what the message ends with", "wxsidecar renew wx1")
}

// Where a push must arrive is said with the appid that is in the path.
func TestFindings_TheAddressOfPushesIsWhole(t *testing.T) {
	for _, state := range []string{"waiting_ticket", "live"} { // and late
		s := well()
		c := &s.Components[0]
		c.State, c.Ticket.ReceivedAt, c.RefusedPush = state, nil, &broker.RefusedPush{Cause: "unknown_path"}
		all := findings(s)
		if len(all) != 1 {
			t.Fatalf("%+v", all)
		}
		for _, w := range []*pageWords{&pageEnglish, &pageChinese} {
			v := &view{w: w}
			card := v.card(&all[0])
			if said := card.cure + card.detail; strings.Count(said, "/wechat/wxc/event") != 2 || strings.Contains(said, "<component>") {
				t.Errorf("%s: %s", state, said)
			}
		}
	}
}
