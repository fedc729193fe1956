package broker_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// A call of an app that WeChat does not answer shows that it is away, though all tokens live and
// none is to be renewed; and its return is seen without a call.
func TestProbe_OutageThatOnlyCallsMeet(t *testing.T) {
	lit(t, worldOptions{merchants: 2, own: true}, func(w *world) {
		admin, before := w.broker.Admin(), w.tokenCalls()
		w.silence()
		pass(10 * time.Second)
		if out := admin.Outage(); out != "" {
			t.Fatalf("nobody has asked, and it is known: %s", out)
		}
		began := time.Now()
		w.broker.ProbeWeChat()
		pass(time.Second)
		if out := admin.Outage(); out == "" {
			t.Error("a call found WeChat silent, and nobody knows")
		}
		pass(30 * time.Second)
		if since := admin.OutageSince(); since.Sub(began).Abs() > 2*time.Second {
			t.Errorf("away since %s, want %s", since, began)
		}
		w.sim.ClearFaults()
		pass(3 * time.Second)
		if out := admin.Outage(); out != "" || !admin.OutageSince().IsZero() {
			t.Errorf("WeChat is back: %s since %s", out, admin.OutageSince())
		}
		if n := w.tokenCalls() - before; n != 0 {
			t.Errorf("%d token calls although all tokens live", n)
		}
	})
}

// A thousand failing calls a second are a probe in two seconds, and stop nothing while WeChat
// answers that.
func TestProbe_ManyCallsAreOne(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		before := w.sim.Calls("/")
		for range 20_000 {
			w.broker.ProbeWeChat()
			pass(time.Millisecond)
			if w.broker.Admin().Outage() != "" {
				t.Fatal("WeChat answers, and is said to be away")
			}
		}
		if n := w.sim.Calls("/") - before; n < 5 || n > 11 {
			t.Errorf("%d probes in 20 seconds", n)
		}
	})
}

// A WeChat that is slow is not away: one call that broke off stops nothing that a renewal would
// have waited for, and an outage ends with its first answer, however slow.
func TestProbe_SlowIsNotAway(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault("", wechattest.Fault{Latency: 4 * time.Second})
		w.broker.ProbeWeChat()
		for range 15 {
			pass(time.Second)
			if out := w.broker.Admin().Outage(); out != "" {
				t.Fatalf("WeChat answers in four seconds: %s", out)
			}
		}
		w.silence()
		w.broker.ProbeWeChat()
		pass(15 * time.Second)
		if w.broker.Admin().Outage() == "" {
			t.Error("WeChat is silent, and nobody knows")
		}
		w.sim.ClearFaults()
		before := w.sim.Calls("/")
		w.sim.Fault("", wechattest.Fault{Latency: 4 * time.Second})
		pass(7 * time.Second)
		if out := w.broker.Admin().Outage(); out != "" {
			t.Errorf("WeChat is back: %s", out)
		}
		pass(time.Minute)
		if n := w.sim.Calls("/") - before; n > 4 {
			t.Errorf("%d probes since its return", n)
		}
	})
}

// A clock that goes wrong while the tokens live is seen by the probe of the calls that saw it.
func TestProbe_SkewThatOnlyCallsMeet(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.SkewDate(3 * time.Minute)
		w.broker.ProbeWeChat()
		pass(time.Second)
		if skew, _ := w.broker.Skew(); (skew - 3*time.Minute).Abs() > 2*time.Second {
			t.Errorf("skew %s, want 3m", skew)
		}
		w.sim.SkewDate(0)
		w.broker.ProbeWeChat()
		pass(3 * time.Second)
		if skew, _ := w.broker.Skew(); skew.Abs() > 2*time.Second {
			t.Errorf("skew %s, and the clock is right", skew)
		}
	})
}

// The clock of the machine may be stepped while the sidecar's own runs on: the skew that is
// shown is that of the machine's, as certificates are checked against it, and no token suffers.
func TestSkew_StepOfTheWallClock(t *testing.T) {
	stepped := atomic.Int64{}
	o := worldOptions{merchants: 1}
	o.adjust = func(o *broker.Options) {
		o.Wall = func() time.Time { return time.Now().Add(time.Duration(stepped.Load())) }
	}
	lit(t, o, func(w *world) {
		for _, step := range []time.Duration{-time.Hour, 0, 24 * time.Hour, 0} {
			stepped.Store(int64(step))
			pass(6 * time.Second)
			if skew, measured := w.broker.Skew(); !measured || (skew+step).Abs() > 2*time.Second {
				t.Errorf("stepped by %s: skew %s", step, skew)
			}
			if off := time.Until(w.broker.Now()).Abs(); off > 2*time.Second {
				t.Errorf("stepped by %s: WeChat's time is off by %s", step, off)
			}
			if got := time.Duration(w.metric("wxsidecar_clock_skew_seconds") * float64(time.Second)); (got + step).Abs() > 2*time.Second {
				t.Errorf("stepped by %s: the metric says %s", step, got)
			}
			w.mustCall(authorizerKey(merchant(0)))
		}
	})
}

// A probe that hangs while a renewal finds WeChat silent does not put off the end of the outage.
func TestProbe_HangsAsAnOutageBegins(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		for _, path := range []string{"/", authorizerPath} {
			w.sim.Fault(path, wechattest.Fault{Latency: time.Minute}) // what is sent now is never answered
		}
		w.broker.Renew(authorizerKey(merchant(0)))
		pass(9 * time.Second)
		w.broker.ProbeWeChat()
		pass(3 * time.Second)
		if w.broker.Admin().Outage() == "" {
			t.Fatal("WeChat is silent, and nobody knows")
		}
		w.sim.ClearFaults()
		pass(3 * time.Second)
		if out := w.broker.Admin().Outage(); out != "" {
			t.Errorf("WeChat is back: %s", out)
		}
	})
}
