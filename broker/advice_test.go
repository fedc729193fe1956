package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestAdvice has WeChat refuse token calls in every way that a person must hear of:
// what an app, /tokenz and the log say begins with WeChat's own words, the address
// in them included, and goes on with what to do and where.
func TestAdvice(t *testing.T) {
	const misconfigured = broker.StateMisconfigured
	theirs := authorizerKey(merchant(0))
	f := func(key broker.Key, code int, state broker.State, want string) {
		t.Helper()
		inWorld(t, worldOptions{own: true, merchants: 1}, func(w *world) {
			path := map[broker.Key]string{platformKey: componentPath, ownKey: stablePath, theirs: authorizerPath}[key]
			words := "refresh_token is invalid"
			if code != 61023 {
				words = "in WeChat's words, requestIP: 192.0.2.9"
			}
			w.sim.Fault(path, wechattest.Fault{Errcode: code, Errmsg: words})
			if state == broker.StateUnauthorized {
				path = infoPath
				w.sim.Fault(path, wechattest.Fault{Errcode: code, Errmsg: words}) // and again when asked in another way
			}
			w.sim.ExpireAllTokens() // our own account had one from the start
			w.ticket()
			pass(time.Second)
			whole := fmt.Sprintf("%s: errcode %d: %s; %s", path, code, words, want)
			if said := w.mustFail(key, state).Reason; said != whole {
				t.Errorf("an app of %s hears\n%s, want\n%s", key, said, whole)
			}
			if m := w.broker.Missing(); key != theirs && (len(m) != 1 || m[0].Reason != whole) {
				t.Errorf("/tokenz says %+v, want\n%s", m, whole)
			}
			if !strings.Contains(w.logs.String(), want) {
				t.Errorf("the log does not say %q", want)
			}
		})
	}
	const platformIP = "add the address that our calls come from (WeChat names it) to 白名单IP地址列表 in the platform's console (open.weixin.qq.com)"
	const ownIP = "add the address that our calls come from (WeChat names it) to IP白名单 in the account's console (mp.weixin.qq.com)"
	const componentSecret = "correct components[].secret: it is not the AppSecret in the platform's console (open.weixin.qq.com)"
	accountSecret := "correct accounts[].secret of " + ownKey.AppID + ": it is not the AppSecret in the account's console (mp.weixin.qq.com)"
	f(platformKey, 40001, misconfigured, componentSecret)
	f(platformKey, 40125, misconfigured, componentSecret)
	f(ownKey, 40001, misconfigured, accountSecret)
	f(ownKey, 40125, misconfigured, accountSecret)
	f(platformKey, 40013, misconfigured, "compare components[].appid with the platform's console (open.weixin.qq.com)")
	f(platformKey, 61011, misconfigured, "compare components[].appid with the platform's console (open.weixin.qq.com)")
	f(ownKey, 40013, misconfigured, "compare accounts[].appid with the account's console (mp.weixin.qq.com)")
	f(theirs, 40013, misconfigured, "compare the appid with the account's console (mp.weixin.qq.com)")
	f(ownKey, 61024, misconfigured, "accounts[].appid is a third-party platform's: configure it under components")
	f(platformKey, 61004, misconfigured, platformIP)
	f(platformKey, 45035, misconfigured, platformIP)
	f(theirs, 61004, misconfigured, platformIP)
	f(ownKey, 40164, misconfigured, ownIP)
	f(ownKey, 45035, misconfigured, ownIP+"; a 微信小店 has a list of its own (channels.weixin.qq.com/shop)")
	f(ownKey, 89501, misconfigured, "an administrator of the account must confirm our address in WeChat")
	f(ownKey, 89505, misconfigured, "an administrator of the account must confirm our address in WeChat")
	f(ownKey, 89506, misconfigured, "an administrator of the account has refused our address in WeChat; WeChat asks again after 24 hours")
	f(ownKey, 89507, misconfigured, "an administrator of the account has refused our address in WeChat; WeChat asks again after an hour")
	f(theirs, 45009, broker.StateQuotaExhausted, "find out who else fetches tokens; it is tried again within the hour, and at once on SIGHUP")
	f(theirs, 61003, broker.StateUnauthorized, "the merchant has taken the authorization back and must authorise again")
	f(theirs, 61023, broker.StateNeedsAuthorization, "the refresh token is void and WeChat has no other; the merchant must authorise again")
	f(theirs, 42007, broker.StateNeedsAuthorization, "the account's password was changed; the merchant must authorise again")
}

// TestAdvice_OverARestart: what the store remembers is worded like what was just
// heard, and not twice.
func TestAdvice_OverARestart(t *testing.T) {
	f := func(code int, state broker.State, want string) {
		t.Helper()
		lit(t, worldOptions{merchants: 1}, func(w *world) {
			w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: code})
			w.sim.ExpireToken(merchant(0))
			w.mustFail(authorizerKey(merchant(0)), state)
			w.sim.ClearFaults()
			w.sim.Fault("", wechattest.Fault{Latency: time.Minute}) // nothing is heard since
			w.restart()
			if said := w.mustFail(authorizerKey(merchant(0)), state).Reason; strings.Count(said, want) != 1 {
				t.Errorf("after a restart: %s", said)
			}
		})
	}
	f(45009, broker.StateQuotaExhausted, "find out who else fetches tokens")
	f(42007, broker.StateNeedsAuthorization, "must authorise again")
}

// TestAdvice_WhoWaitsForAnotherKey: a merchant whose platform is misconfigured reads
// the platform's cure.
func TestAdvice_WhoWaitsForAnotherKey(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault(componentPath, wechattest.Fault{Errcode: 40125})
		w.sim.ExpireAllTokens()
		said := w.mustFail(authorizerKey(merchant(0)), broker.StateMisconfigured).Reason
		if !strings.Contains(said, "component/"+componentID+" is misconfigured: ") || strings.Count(said, "correct components[].secret") != 1 {
			t.Errorf("got %s", said)
		}
	})
}
