package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestOddAnswers_EveryKeyIsServed begins with an empty store and a WeChat that writes
// each answer in an odd way; there are renewals of all keys in it.
func TestOddAnswers_EveryKeyIsServed(t *testing.T) {
	for _, mode := range []wechattest.Mode{
		wechattest.BOM, wechattest.ExpiresString, wechattest.ExpiresFloat, wechattest.ExpiresExponent,
		wechattest.ErrcodeZeroAdded, wechattest.TextsRaw, wechattest.CountsAsText,
	} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, worldOptions{merchants: 3, own: true}, func(w *world) {
				w.sim.Unlist(componentID, merchant(1), true) // only its info tells the refresh token
				for _, path := range []string{"/cgi-bin/component/*", "/cgi-bin/ticket/*", stablePath} {
					w.sim.Fault(path, wechattest.Fault{Mode: mode})
				}
				w.ticket()
				w.authorize(merchant(2))
				pass(time.Minute)
				keys := []broker.Key{authorizerKey(merchant(0)), authorizerKey(merchant(1)), authorizerKey(merchant(2)), ownKey, platformKey}
				w.ticket()
				if failed := w.keepCalling(keys, 5*time.Hour, 5*time.Minute); failed != 0 {
					t.Errorf("%d calls failed", failed)
				}
				if _, err := w.broker.Token(context.Background(), broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(0), Component: componentID}); err != nil {
					t.Error(err)
				}
				if n := w.metric("wxsidecar_renewals_total", "result", "invalid"); n != 0 {
					t.Errorf("%g answers could not be used", n)
				}
			})
		})
	}
}

// TestList_ABadItemIsSkippedNotTheList has the first account of each page without its
// appid: the others are served, at a cold start as well, and it is not taken for one
// whose authorization was taken back.
func TestList_ABadItemIsSkippedNotTheList(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1200}, func(w *world) {
		w.sim.Fault(listPath, wechattest.Fault{Mode: wechattest.ListItemBad})
		w.ticket()
		pass(10 * time.Second)
		for i := range 1200 {
			if i%500 != 0 {
				w.mustCall(authorizerKey(merchant(i)))
			}
		}
		if n := w.metric("wxsidecar_list_items_skipped_total"); n != 3 {
			t.Errorf("%g items are counted as skipped, want one a page", n)
		}
		if n := strings.Count(w.logs.String(), "skipped=3"); n != 1 {
			t.Errorf("%d lines say that three were skipped, want one a reading", n)
		}
		w.authorize(merchant(0)) // known now, and still not in the list
		pass(6*time.Hour + time.Minute)
		w.mustCall(authorizerKey(merchant(0)))
		if n := w.metric("wxsidecar_reconciliations_total", "result", "ok"); n != 2 {
			t.Errorf("the list was read %g times, want 2", n)
		}
	})
}
