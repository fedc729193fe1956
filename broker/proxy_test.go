package broker_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// proxyWay is a way to WeChat that fails as long as it is down.
type proxyWay struct {
	next http.RoundTripper
	down atomic.Bool
}

func (p *proxyWay) to(next http.RoundTripper) http.RoundTripper {
	if p == nil {
		return next
	}
	p.next = next
	return p
}

// RoundTrip implements [http.RoundTripper].
func (p *proxyWay) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.down.Load() {
		return nil, proxyDown{}
	}
	return p.next.RoundTrip(r)
}

type proxyDown struct{}

func (proxyDown) Error() string     { return "credentials refused (upstream.proxy)" }
func (proxyDown) ProxyFailed() bool { return false }

// A proxy that does not let us through stops renewals as WeChat's silence does, is not
// taken for that, and its return wakes what is due.
func TestOutage_OfTheProxyIsNotWeChats(t *testing.T) {
	way := &proxyWay{}
	lit(t, worldOptions{own: true, way: way}, func(w *world) {
		defer w.tickets()()
		w.mustCall(ownKey)
		way.down.Store(true)
		pass(3 * time.Hour)
		err := w.mustFail(ownKey, broker.StateRetrying)
		if !strings.Contains(err.Error(), "credentials refused (upstream.proxy)") || strings.Contains(err.Error(), "WeChat does not answer") {
			t.Errorf("an app is told %v", err)
		}
		for _, m := range w.broker.Missing() {
			if !strings.Contains(m.Reason, "upstream.proxy") || m.State != "retrying" {
				t.Errorf("/tokenz says %+v", m)
			}
		}
		logs := w.logs.String()
		if strings.Contains(logs, "WeChat does not answer") || strings.Contains(logs, `"/: no answer`) || !strings.Contains(logs, "upstream.proxy does not let us through") {
			t.Error("the log blames WeChat, or does not name the proxy")
		}
		way.down.Store(false)
		pass(5 * time.Second)
		w.mustCall(ownKey)
		w.mustCall(platformKey)
	})
}

// What nobody has answered since the proxy went is told in the same way to those whose
// key was not tried: the pause's cause counts.
func TestOutage_OfTheProxyIsToldToKeysNotTried(t *testing.T) {
	way := &proxyWay{}
	way.down.Store(true)
	inWorld(t, worldOptions{own: true, way: way}, func(w *world) {
		pass(time.Minute)
		for _, m := range w.broker.Missing() {
			if strings.Contains(m.Reason, "WeChat does not answer") {
				t.Errorf("%+v", m)
			}
		}
		if err := w.mustFail(ownKey, broker.StateRetrying); !strings.Contains(err.Error(), "upstream.proxy") {
			t.Errorf("%v", err)
		}
		way.down.Store(false)
		pass(5 * time.Second)
		w.mustCall(ownKey)
	})
}
