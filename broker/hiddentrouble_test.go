package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// reload gives the own account another secret, as a reload does.
func (w *world) reload(own string) {
	w.t.Helper()
	w.opts.Accounts = []broker.AccountConfig{{AppID: ownID, Secret: secret.New(own)}}
	if err := w.broker.SetConfig(w.opts.Components, w.opts.Accounts); err != nil {
		w.t.Fatal(err)
	}
	pass(time.Second)
}

// status is what is shown of the own account.
func (w *world) status() broker.KeyStatus {
	w.t.Helper()
	for _, s := range w.broker.Status() {
		if s.AppID == ownID {
			return s
		}
	}
	w.t.Fatal("the own account is not shown")
	return broker.KeyStatus{}
}

// turns counts the lines about the own account's state that hold text.
func (w *world) turns(text string) (n int) {
	for line := range strings.Lines(w.logs.String()) {
		if strings.Contains(line, `msg="token state"`) && strings.Contains(line, "key=account/") && strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (w *world) inTrouble(cause string) float64 {
	return w.metric("wxsidecar_keys_in_trouble", "kind", "account", "cause", cause)
}

// TestHidden_AWrongSecretShowsWhileTheTokenLives puts a wrong secret in and takes it
// out again, all within the life of one token.
func TestHidden_AWrongSecretShowsWhileTheTokenLives(t *testing.T) {
	lit(t, worldOptions{merchants: 3, own: true}, func(w *world) {
		if s := w.status(); s.State != "live" || s.Trouble != nil || s.ExpiresAt == nil || len(w.broker.Status()) != 2 {
			t.Errorf("before: %+v", s)
		}
		changed := time.Now()
		w.reload("a-wrong-secret-0123456789abcdef0")
		pass(30 * time.Minute)
		s := w.status()
		if s.State != "live" || s.Reason != "" || s.Trouble == nil || s.ExpiresAt == nil {
			t.Fatalf("with a wrong secret: %+v", s)
		}
		if tr := s.Trouble; tr.Cause != "misconfigured" || tr.Errcode == 0 || !strings.Contains(tr.Reason, "accounts[].secret") || tr.Since.Sub(changed).Abs() > 5*time.Second {
			t.Errorf("trouble: %+v", tr)
		}
		if left := time.Until(*s.ExpiresAt); left < 80*time.Minute || left > 100*time.Minute {
			t.Errorf("it dies in %s", left)
		}
		if n := w.inTrouble("misconfigured"); n != 1 || w.metric("wxsidecar_keys_in_trouble") != 1 {
			t.Errorf("%g keys are in trouble", n)
		}
		if m := w.broker.Missing(); len(m) != 0 {
			t.Errorf("missing: %+v", m)
		}
		if n := w.turns("state=live") - w.turns("trouble="); n != 1 {
			t.Errorf("%d lines without a trouble, want the first", n)
		}
		if n := w.turns("trouble=misconfigured"); n != 1 {
			t.Errorf("%d lines in half an hour, want one", n)
		}
		w.sim.Fault(stablePath, wechattest.Fault{Errcode: 40164}) // another trouble of the same state
		pass(20 * time.Minute)
		if s := w.status(); s.Trouble == nil || s.Trouble.Errcode != 40164 || !s.Trouble.Since.After(changed.Add(time.Minute)) || w.turns("40164") != 1 {
			t.Errorf("with an address that is refused: %+v, %d lines", s.Trouble, w.turns("40164"))
		}
		w.sim.ClearFaults()
		w.reload(ownSecret)
		if s := w.status(); s.Trouble != nil || w.metric("wxsidecar_keys_in_trouble") != 0 {
			t.Errorf("after the cure: %+v", s)
		}
	})
}

// TestHidden_ARefusedTokenFallsIntoAKnownTrouble has WeChat refuse a token whose
// renewal is known to be in vain.
func TestHidden_ARefusedTokenFallsIntoAKnownTrouble(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		w.reload("a-wrong-secret-0123456789abcdef0")
		held := must(w.broker.Token(context.Background(), ownKey))
		w.sim.Fault("/cgi-bin/menu/get", wechattest.Fault{Errcode: 40001})
		for range 50 {
			_, _ = w.call(ownKey)
		}
		s := w.status()
		if s.State != "misconfigured" || !strings.Contains(s.Reason, "accounts[].secret") || s.Trouble == nil || s.Generation != held.Generation {
			t.Errorf("%+v", s)
		}
		if n := w.turns("state=misconfigured"); n != 1 {
			t.Errorf("%d lines say so, want one", n)
		}
		if n := w.inTrouble("misconfigured"); n != 0 || w.metric("wxsidecar_keys", "kind", "account", "state", "misconfigured") != 1 {
			t.Errorf("%g keys have a hidden trouble", n)
		}
		w.sim.ClearFaults()
		w.reload(ownSecret)
		w.mustCall(ownKey)
		if s := w.status(); s.State != "live" || s.Trouble != nil {
			t.Errorf("after the cure: %+v", s)
		}
	})
}

// TestHidden_NoSecretIsShown has WeChat repeat the secret in its words.
func TestHidden_NoSecretIsShown(t *testing.T) {
	lit(t, worldOptions{own: true}, func(w *world) {
		const wrong = "a-wrong-secret-0123456789abcdef0"
		w.sim.Fault(stablePath, wechattest.Fault{Errcode: 40125, Errmsg: "invalid appsecret " + wrong})
		w.reload(wrong)
		if s := w.status(); s.Trouble == nil || strings.Contains(s.Trouble.Reason, wrong) {
			t.Errorf("%+v", s.Trouble)
		}
	})
}
