package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestUnlisted_OthersReadingsRenewNobody has the list leave out a merchant who is well,
// while it is read again and again: for another whose refresh token is void, and for an
// app that calls for nobody.
func TestUnlisted_OthersReadingsRenewNobody(t *testing.T) {
	for name, read := range map[string]func(w *world){
		"void refresh token": func(w *world) { _, _ = w.call(authorizerKey(merchant(1))) },
		"unknown appid": func(w *world) {
			_, _ = w.broker.Account(context.Background(), "wxffffffffffffffff", broker.Choice{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			lit(t, worldOptions{merchants: 2}, func(w *world) {
				defer w.tickets()()
				w.sim.Fault(listPath, wechattest.Fault{Body: fmt.Sprintf(
					`{"total_count":1,"list":[{"authorizer_appid":%q,"refresh_token":%q,"auth_time":1}]}`,
					merchant(1), w.sim.RefreshToken(componentID, merchant(1)))})
				w.sim.VoidRefreshToken(componentID, merchant(1))
				w.sim.ExpireToken(merchant(1))
				issued, lists := w.sim.TokensIssued(merchant(0)), w.sim.Calls(listPath)
				for range 12 * 60 {
					read(w)
					w.mustCall(authorizerKey(merchant(0)))
					pass(time.Minute)
				}
				if n := w.sim.Calls(listPath) - lists; n < 20 {
					t.Errorf("the list was read %d times, the test needs more", n)
				}
				if n := w.sim.TokensIssued(merchant(0)) - issued; n > 9 {
					t.Errorf("%d tokens in twelve hours for a merchant who is well, want one in 90 minutes", n)
				}
			})
		})
	}
}

// TestUnlisted_WhoIsNotInUseIsAskedAbout has the news that a merchant went be lost, whom
// nobody calls.
func TestUnlisted_WhoIsNotInUseIsAskedAbout(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		defer w.tickets()()
		pass(5 * time.Hour)
		w.sim.Revoke(componentID, merchant(0))
		pass(13 * time.Hour)
		before := w.sim.Calls(authorizerPath)
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		if n := w.sim.Calls(authorizerPath) - before; n != 0 {
			t.Errorf("%d calls to find out, want the verdict of the list's reading", n)
		}
	})
}
