package authorize_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/authorize"
)

func TestLimits(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		for range 10 {
			b.open("")
		}
		w := b.get(authorizePath)
		r.want(w, http.StatusTooManyRequests, "Opened too often")
		if got := w.Header().Get("Retry-After"); got != "10" {
			t.Errorf("Retry-After: %s, want 10", got)
		}
		other := r.browser()
		other.address = "[2001:db8::1]:1"
		for range 10 {
			other.open("")
		}
		other.address = "[2001:db8::ffff]:1" // the same network
		r.want(other.get(authorizePath), http.StatusTooManyRequests)
		r.want(b.get(authorizePath, "X-Forwarded-For", "198.51.100.1"), http.StatusTooManyRequests)
		time.Sleep(10 * time.Second)
		b.open("")
		r.want(b.get(authorizePath), http.StatusTooManyRequests)
	})
}

// One state is good for one code, but that may be loaded again, and WeChat is asked each time if it
// is refused. That must not use up the quota of api_query_auth.
func TestLimits_OfExchanges(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		back := r.redirected(b.open(""), "no_such_code")
		for range 10 {
			r.want(b.get(back), http.StatusBadRequest)
		}
		w := b.get(back)
		r.want(w, http.StatusTooManyRequests, "Opened too often")
		if got := w.Header().Get("Retry-After"); got != "10" {
			t.Errorf("Retry-After: %s, want 10", got)
		}
		if n := r.sim.Calls(queryAuthPath); n != 10 {
			t.Errorf("WeChat was asked %d times, want 10", n)
		}
		stranger := r.browser() // without a state of his own he uses up nothing
		stranger.address = "198.51.100.1:1"
		r.want(stranger.get(back), http.StatusForbidden)
		time.Sleep(10 * time.Second)
		r.want(b.get(back), http.StatusBadRequest)
	})
}

// What browsers load unseen costs no pre_auth_code.
func TestLimits_Embedded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		f := func(site, mode, dest, purpose string, status int) {
			t.Helper()
			before := r.sim.Calls(preAuthPath)
			r.want(b.get(authorizePath, "Sec-Fetch-Site", site, "Sec-Fetch-Mode", mode, "Sec-Fetch-Dest", dest, "Sec-Purpose", purpose), status)
			if cost := r.sim.Calls(preAuthPath) > before; cost != (status == http.StatusOK) {
				t.Errorf("%s %s %s %s: costs a pre_auth_code: %t", site, mode, dest, purpose, cost)
			}
		}
		f("cross-site", "no-cors", "image", "", http.StatusForbidden)
		f("cross-site", "navigate", "iframe", "", http.StatusForbidden)
		f("cross-site", "cors", "empty", "", http.StatusForbidden)
		f("none", "navigate", "document", "prefetch;prerender", http.StatusForbidden)
		f("cross-site", "navigate", "document", "", http.StatusOK) // a link on another site
		f("none", "navigate", "document", "", http.StatusOK)
		f("same-origin", "cors", "empty", "", http.StatusOK) // a page of the app's own
		f("", "", "", "", http.StatusOK)
	})
}

// Visitors from ever new addresses stop at the component's limit.
func TestLimits_OfTheComponent(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		b := r.browser()
		b.accept = "application/json"
		served := 0
		for i := range 300 {
			w := b.get(authorizePath, "X-Forwarded-For", "198.51.100.9, 10.0."+string(rune('0'+i%10))+"."+string(rune('0'+i/100))+string(rune('0'+i/10%10)))
			if w.Code == http.StatusOK {
				served++
			} else if got := r.jsonOf(w); w.Code != http.StatusTooManyRequests || got["error"] != "too_many_visits" {
				t.Fatalf("%d %v", w.Code, got)
			}
		}
		if served != 120 || r.sim.Calls(preAuthPath) != 120 {
			t.Errorf("%d pages served with %d pre_auth_codes, want 120", served, r.sim.Calls(preAuthPath))
		}
		time.Sleep(5 * time.Second)
		r.want(b.get(authorizePath, "X-Forwarded-For", "192.0.2.1"), http.StatusOK)
	}, func(o *authorize.Options) { o.ForwardedFor = true })
}
