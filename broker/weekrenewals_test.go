package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestWeek_WithoutFaultsRenewalsAreFew(t *testing.T) {
	for _, seed := range seeds(t, 1, 4) {
		t.Run(fmt.Sprintf("WXSIDECAR_SEED=%d", seed), func(t *testing.T) {
			inWeek(t, seed, worldOptions{sim: wechattest.Options{KeepRequests: 1}}, func(w *week) {
				idle := w.subjects[100:150]
				w.subjects = append(w.subjects[:100:100], w.subjects[150:]...)
				before := map[broker.Key]int{}
				for _, s := range append(w.subjects, idle...) {
					before[s.key] = w.renewalsOf(s.key)
				}
				for end, i := time.Now().Add(howLong()), 0; time.Now().Before(end); i++ {
					pass(20 * time.Minute)
					w.ticket()
					w.callAll()
				}
				for _, s := range w.subjects {
					w.wantFew(s.key, w.renewalsOf(s.key)-before[s.key])
				}
				for _, s := range idle {
					if n := w.renewalsOf(s.key) - before[s.key]; n > 3 {
						t.Errorf("%s, which nobody calls, was renewed %d times", s.key, n)
					}
				}
			})
		})
	}
}

func (w *week) renewalsOf(key broker.Key) int {
	path := map[broker.Kind]string{
		broker.KindComponent: componentPath, broker.KindAuthorizer: authorizerPath,
		broker.KindAccount: stablePath, broker.KindJSAPITicket: jsapiPath,
	}[key.Kind]
	return w.sim.CallsFor(path, key.AppID)
}

// wantFew checks a number of renewals against the ideal: one at each 0.7 of a life
// in the mean, and for own accounts one at its last minutes. Of a ticket WeChat
// gives the same until its last minutes, which only asking shows.
func (w *week) wantFew(key broker.Key, n int) {
	w.t.Helper()
	ideal := float64(howLong()) / float64(84*time.Minute)
	switch key.Kind {
	case broker.KindAccount:
		ideal = float64(howLong()) / float64(115*time.Minute)
	case broker.KindJSAPITicket:
		ideal = 2 * float64(howLong()) / float64(115*time.Minute)
	}
	if float64(n) > 1.15*ideal+1 || float64(n) < 0.85*ideal-1 {
		w.t.Errorf("%s was renewed %d times in %s, the ideal is %.1f", key, n, howLong(), ideal)
	}
}
