package wechattest_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// lives are the lengths of a token's life that the time tests run with: what
// holds for two hours must hold for twelve seconds.
var lives = []time.Duration{2 * time.Hour, 12 * time.Second}

func eachLife(t *testing.T, o wechattest.Options, test func(w *world, life time.Duration)) {
	for _, life := range lives {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o.TokenLife = life
				test(newWorld(t, o), life)
			})
		})
	}
}

func TestTime_LifeAndOverlap(t *testing.T) {
	eachLife(t, wechattest.Options{}, func(w *world, life time.Duration) {
		first := w.authorizerToken()
		time.Sleep(life / 2)
		second := w.authorizerToken()
		w.wantCode("first, replaced just now", w.menu(first), 0)
		time.Sleep(life/24 - time.Millisecond)
		w.wantCode("first, at the end of the overlap", w.menu(first), 0)
		time.Sleep(time.Millisecond)
		w.wantCode("first, after the overlap", w.menu(first), 40001)
		time.Sleep(life - life/24 - time.Millisecond)
		w.wantCode("second, in its last millisecond", w.menu(second), 0)
		time.Sleep(time.Millisecond)
		w.wantCode("second, after its life", w.menu(second), 42001)
	})
}

func TestTime_NoOverlap(t *testing.T) {
	eachLife(t, wechattest.Options{Overlap: -1}, func(w *world, life time.Duration) {
		first := w.plainToken()
		second := w.plainToken()
		w.wantCode("first", w.menu(first), 40001)
		w.wantCode("second", w.menu(second), 0)
	})
}

func TestTime_StableToken(t *testing.T) {
	eachLife(t, wechattest.Options{}, func(w *world, life time.Duration) {
		first := w.stableToken(false)
		time.Sleep(life - life/24 - time.Second)
		if w.stableToken(false) != first {
			t.Error("before its last twenty-fourth the token changed")
		}
		time.Sleep(time.Second)
		second := w.stableToken(false)
		if second == first {
			t.Error("in its last twenty-fourth the token stayed")
		}
		w.wantCode("first, beside the second", w.menu(first), 0)
		plain := w.plainToken()
		w.wantCode("second, after /cgi-bin/token", w.menu(second), 0)
		if w.stableToken(true) == second {
			t.Fatal("a forced refresh gave the same token")
		}
		w.wantCode("second, after a forced refresh", w.menu(second), 40001)
		w.wantCode("the plain token, after a forced refresh", w.menu(plain), 0)
	})
}

func TestTime_ForcedRefreshes(t *testing.T) {
	eachLife(t, wechattest.Options{}, func(w *world, life time.Duration) {
		token := w.stableToken(true)
		time.Sleep(life/240 - time.Millisecond)
		if w.stableToken(true) != token {
			t.Error("a forced refresh too soon gave another token")
		}
		for range 19 {
			time.Sleep(life / 240)
			next := w.stableToken(true)
			if next == token {
				t.Fatal("a forced refresh gave the same token")
			}
			token = next
		}
		time.Sleep(life / 240)
		code, _ := w.post("/cgi-bin/stable_token", map[string]any{
			"grant_type": "client_credential", "appid": own, "secret": ownKey, "force_refresh": true,
		})
		w.wantCode("the twenty-first of the day", code, 45009)
		time.Sleep(12 * life)
		w.stableToken(true)
	})
}

func TestTime_TicketsAndCodes(t *testing.T) {
	eachLife(t, wechattest.Options{}, func(w *world, life time.Duration) {
		fetch := func(ticket string) int {
			code, _ := w.post("/cgi-bin/component/api_component_token", map[string]any{
				"component_appid": platform, "component_appsecret": platformKey, "component_verify_ticket": ticket,
			})
			return code
		}
		old := w.NewTicket(platform)
		time.Sleep(6*life - time.Second)
		w.wantCode("old ticket in its last second", fetch(old), 0)
		young := w.NewTicket(platform)
		time.Sleep(time.Second)
		w.wantCode("old ticket after its life", fetch(old), 61005)
		w.wantCode("young ticket", fetch(young), 0)
		first, second := w.Authorize(platform, "wxnew"), w.Authorize(platform, "wxnew")
		component := w.componentToken()
		exchange := func(code string) int {
			n, _ := w.post("/cgi-bin/component/api_query_auth?component_access_token="+component,
				map[string]any{"component_appid": platform, "authorization_code": code})
			return n
		}
		w.wantCode("code", exchange(first), 0)
		w.wantCode("code, used", exchange(first), 61009)
		w.wantCode("code, unknown", exchange("x"), 61009)
		w.wantCode("code, missing", exchange(""), 41008)
		time.Sleep(life / 12)
		w.wantCode("code, expired", exchange(second), 61010)
	})
}

func TestTime_DailyQuota(t *testing.T) {
	eachLife(t, wechattest.Options{DailyLimits: map[string]int{"/cgi-bin/token": 3}}, func(w *world, life time.Duration) {
		fetch := func() int {
			code, _ := w.call(http.MethodGet, plainTarget(), "")
			return code
		}
		for range 3 {
			w.wantCode("within the limit", fetch(), 0)
		}
		w.wantCode("above the limit", fetch(), 45009)
		clearing := map[string]any{"appid": own, "appsecret": ownKey}
		for range 10 {
			code, _ := w.post("/cgi-bin/clear_quota/v2", clearing)
			w.wantCode("clear_quota", code, 0)
		}
		code, _ := w.post("/cgi-bin/clear_quota/v2", clearing)
		w.wantCode("the eleventh clear_quota", code, 48006)
		w.wantCode("after clearing", fetch(), 0)
		w.ExhaustQuota(own, "/cgi-bin/token")
		w.wantCode("exhausted", fetch(), 45009)
		time.Sleep(12 * life)
		w.wantCode("next day", fetch(), 0)
	})
}

func TestTime_ExpiresIn(t *testing.T) {
	eachLife(t, wechattest.Options{StickyTokens: true}, func(w *world, life time.Duration) {
		_, m := w.call(http.MethodGet, plainTarget(), "")
		if m["expires_in"] != life.Seconds() {
			t.Errorf("expires_in is %v, want %v", m["expires_in"], life.Seconds())
		}
		time.Sleep(life / 2)
		_, again := w.call(http.MethodGet, plainTarget(), "")
		if again["access_token"] != m["access_token"] || again["expires_in"] != life.Seconds()/2 {
			t.Errorf("a sticky token changed, or has %v left", again["expires_in"])
		}
	})
}

func TestRotation(t *testing.T) {
	w := newWorld(t, wechattest.Options{RotateRefreshTokens: true})
	component := w.componentToken()
	first := w.RefreshToken(platform, merchant)
	code, m := w.refreshCall(component, first)
	second := w.must("authorizer_refresh_token", code, m)
	if second == first {
		t.Fatal("the refresh token did not rotate")
	}
	code, _ = w.refreshCall(component, first)
	w.wantCode("the first again, as its successor's answer may have been lost", code, 61023)
	w.noViolations()
	code, _ = w.refreshCall(component, second)
	w.wantCode("the second", code, 0)
	_, _ = w.refreshCall(component, first)
	if len(w.Violations()) != 1 {
		t.Errorf("violations %q, want the old refresh token", w.Violations())
	}
}

func TestReauthorize(t *testing.T) {
	for _, kills := range []bool{false, true} {
		w := newWorld(t, wechattest.Options{ReauthorizeKillsTokens: kills})
		token, refresh := w.authorizerToken(), w.RefreshToken(platform, merchant)
		w.Authorize(platform, merchant)
		want := 0
		if kills {
			want = 40001
		}
		w.wantCode("the access token after a renewed authorization", w.menu(token), want)
		code, _ := w.refreshCall(w.componentToken(), refresh)
		w.wantCode("the refresh token after a renewed authorization", code, 61023)
	}
}
