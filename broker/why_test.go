package broker

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// What the reasons say is told for programs, without what to do, and with others' words only.
func TestWhy(t *testing.T) {
	key := Key{Kind: KindAuthorizer, AppID: "wxa", Component: "wxc"}
	var seen []string
	f := func(kind eventKind, reason string, errcode int, noAnswer bool, code, said string) {
		t.Helper()
		ev := withAdvice(key, event{kind: kind, reason: reason, errcode: errcode, noAnswer: noAnswer})
		gotCode, gotSaid := why(key, transition(condition{}, ev, time.Unix(1, 0)))
		if gotCode != code || gotSaid != said {
			t.Errorf("%s: %q, %q, want %q, %q", ev.reason, gotCode, gotSaid, code, said)
		}
		seen = append(seen, gotCode)
	}
	refused := (&wechat.APIError{Path: "/p", Code: 40164, Msg: "invalid ip 1.2.3.4; not in whitelist"}).Error()
	f(eventMisconfigured, refused, 40164, false, WhyRefused, refused)
	f(eventQuota, "/p: errcode 45009: reach max", 45009, false, WhyRefused, "/p: errcode 45009: reach max")
	f(eventFailed, "/p: errcode -1: busy", -1, false, WhyRefused, "/p: errcode -1: busy")
	f(eventRefreshVoid, "/p: errcode 61023: void", 61023, false, WhyRefused, "/p: errcode 61023: void")
	f(eventRefreshVoid, "/p: errcode 42007: changed", wechat.CodePasswordChanged, false, WhyRefused, "/p: errcode 42007: changed")
	f(eventFailed, (&unconfirmedError{err: errors.New("/p: errcode 61023: void")}).Error(), 61023, false, WhyRefused, "/p: errcode 61023: void")
	f(eventFailed, (&wechat.NoAnswerError{Path: "/p", Err: errors.New("EOF")}).Error(), 0, true, WhyNoAnswer, "/p: no answer: EOF")
	f(eventFailed, awayReason+": EOF", 0, true, WhyStoreAway, "EOF")
	f(eventNoTicket, errNoTicket.Error(), 0, false, WhyNoTicket, "")
	f(eventNoTicket, "no usable ticket: /p: errcode 61006: expired", 61006, false, WhyRefused, "no usable ticket: /p: errcode 61006: expired")
	f(eventQuota, reasonForced, 45009, false, WhyBudget, "")
	f(eventQuota, reasonQuotaOfAll, 45009, false, WhyQuotaMet, "")
	met, _ := quotaOf(&record{quotaMet: time.Unix(1000, 0)}, false, time.Unix(1001, 0))
	f(eventQuota, met.reason, met.errcode, false, WhyQuotaMet, "")
	f(eventRevoked, reasonPushed, wechat.CodeNotAuthorized, false, WhyWithdrawn, "")
	f(eventRevoked, reasonForgotten, 0, false, WhyForgotten, "")
	f(eventRevoked, "/p: errcode 61003: not authorized", 61003, false, WhyRefused, "/p: errcode 61003: not authorized")
	f(eventRefreshVoid, errNoRefreshToken.Error(), 0, false, WhyNoRefreshToken, "")
	f(eventFailed, fmt.Sprint(errListTaken), 0, false, WhyOther, errListTaken.Error())
	for _, code := range Whys() {
		if !slices.Contains(seen, code) {
			t.Errorf("nothing is %s", code)
		}
	}
	// Also of a record of an earlier run.
	rec := &record{}
	rec.judge(StateUnauthorized, time.Unix(1, 0), reasonPushed, wechat.CodeNotAuthorized)
	if s := statusOf(key, rec, time.Unix(2, 0)); s.Trouble == nil || s.Trouble.Why != WhyWithdrawn || s.Trouble.Said != "" {
		t.Errorf("from the store: %+v", s.Trouble)
	}
}
