package broker_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// dropped counts what it hears as an account's mark.
type dropped struct{ times atomic.Int32 }

func (d *dropped) Dropped(*broker.Known) { d.times.Add(1) }

// wantKnown wants memory alone to know, or not, which account is meant.
func (w *world) wantKnown(appID string, c broker.Choice, want bool) *broker.Known {
	w.t.Helper()
	pass(time.Second) // what the cache was given shows a moment later
	k := w.broker.Known([]byte(appID), c)
	if (k != nil) != want {
		w.t.Fatalf("%s, %+v: known %v, want %v", appID, c, k != nil, want)
	}
	return k
}

// TestKnown has memory alone say which account is meant until that is doubtful, and keep its mark
// until then.
func TestKnown(t *testing.T) {
	inTwo(t, func(w *world, _ broker.Key, _ func(*world)) {
		if _, err := w.choose(merchant(0), broker.Choice{}); err != nil {
			t.Fatal(err)
		}
		k, mark := w.wantKnown(merchant(0), broker.Choice{}, true), &dropped{}
		k.SetMark(mark)
		if again := w.wantKnown(merchant(0), broker.Choice{Component: componentID}, true); again != k || again.Mark() != mark {
			t.Errorf("the mark is %v", again.Mark())
		}
		if k.Certain(broker.Choice{Component: otherComponentID}) {
			t.Error("the account is taken for one of another component")
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if got := fmt.Sprintf(verb, k); got != k.Key().String() {
				t.Errorf("%s prints %s", verb, got)
			}
		}
		w.wantKnown(merchant(0), broker.Choice{Component: otherComponentID}, false)
		w.wantKnown("wxffffffffffffffff", broker.Choice{}, false)
		w.authorizeOther(merchant(0))
		for range 2 {
			w.wantKnown(merchant(0), broker.Choice{}, false)
			if k.Certain(broker.Choice{}) || !k.Certain(broker.Choice{Component: componentID}) {
				t.Error("one of two accounts is taken for the only one, or its component not for what names it")
			}
			w.choose(merchant(0), broker.Choice{})
		}
		if mark.times.Load() != 0 {
			t.Error("the mark hears that the account was dropped, which it was not")
		}
	})
}

// TestKnown_Renewed has what was found long ago give a token that WeChat takes, and stay in use by
// that alone; one that died it never gives.
func TestKnown_Renewed(t *testing.T) {
	inTwo(t, func(w *world, key broker.Key, _ func(*world)) {
		w.choose(merchant(0), broker.Choice{})
		k := w.wantKnown(merchant(0), broker.Choice{}, true)
		for range 16 {
			pass(30 * time.Minute)
			switch tok := k.Token(); {
			case tok == nil:
				t.Fatal("there is no token")
			case w.use(key, tok) != 0:
				t.Errorf("WeChat does not take %v", tok)
			}
		}
		if !k.Certain(broker.Choice{}) {
			t.Error("what is called is not known any more")
		}
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: -1})
		pass(2*time.Hour + time.Minute)
		if got := k.Token(); got != nil {
			t.Errorf("the token is %v, which is dead", got)
		}
	})
}

// TestKnown_Dropped has an account that nobody calls leave memory, and come back as another Known:
// the old one is of no use any more, whatever is found out later.
func TestKnown_Dropped(t *testing.T) {
	inTwo(t, func(w *world, key broker.Key, _ func(*world)) {
		w.choose(merchant(0), broker.Choice{})
		old, mark := w.wantKnown(merchant(0), broker.Choice{}, true), &dropped{}
		old.SetMark(mark)
		pass(6 * time.Hour)
		if old.Certain(broker.Choice{}) || mark.times.Load() != 1 {
			t.Errorf("after six hours without a call: certain %v, the mark heard %d times of it", old.Certain(broker.Choice{}), mark.times.Load())
		}
		late := &dropped{}
		if old.SetMark(late); late.times.Load() != 1 {
			t.Error("a mark that is set too late does not hear of it")
		}
		w.mustCall(key)
		w.choose(merchant(0), broker.Choice{})
		again := w.wantKnown(merchant(0), broker.Choice{}, true)
		if again == old || again.Mark() != nil || old.Certain(broker.Choice{}) {
			t.Error("what was dropped is in use again")
		}
	})
}

// TestKnown_NamedByItsComponent has calls that name the component, as those with a handle do, need
// no other call to be known, nor one after another merchant has come.
func TestKnown_NamedByItsComponent(t *testing.T) {
	inTwo(t, func(w *world, _ broker.Key, _ func(*world)) {
		c := broker.Choice{Component: componentID}
		w.wantKnown(merchant(0), c, true)
		w.authorizeOther(merchant(1))
		w.wantKnown(merchant(0), c, true)
		w.authorizeOther(merchant(0))
		w.wantKnown(merchant(0), c, true)
	})
}

// TestKnown_DroppedAlive drops an account whose token lives: it must not be given any more, as it
// is not renewed nor followed. If the account comes back, the token is a new entry's.
func TestKnown_DroppedAlive(t *testing.T) {
	inTwo(t, func(w *world, _ broker.Key, _ func(*world)) {
		c := broker.Choice{Component: componentID}
		old, mark := w.wantKnown(merchant(0), c, true), &dropped{}
		old.SetMark(mark)
		if old.Token() == nil {
			t.Fatal("there is no token")
		}
		other := broker.ComponentConfig{AppID: otherComponentID, Secret: secret.New(appSecret)}
		if err := w.broker.SetConfig([]broker.ComponentConfig{other}, nil); err != nil {
			t.Fatal(err)
		}
		if tok := old.Token(); tok != nil || old.Certain(c) || mark.times.Load() != 1 {
			t.Errorf("without its component: token %v, certain %v, heard %d times", tok, old.Certain(c), mark.times.Load())
		}
		w.wantKnown(merchant(0), c, false)
		if err := w.broker.SetConfig([]broker.ComponentConfig{{AppID: componentID, Secret: secret.New(appSecret)}, other}, nil); err != nil {
			t.Fatal(err)
		}
		w.mustCall(authorizerKey(merchant(0)))
		if again := w.wantKnown(merchant(0), c, true); again == old || again.Token() == nil || old.Token() != nil {
			t.Error("what was dropped is in use again")
		}
	})
}

// TestKnown_OwnAccountCameMeanwhile configures an own account while a call for the appid is between
// its look at the configuration and the one for authorizations: later calls mean the own account.
func TestKnown_OwnAccountCameMeanwhile(t *testing.T) {
	inTwo(t, func(w *world, _ broker.Key, _ func(*world)) {
		w.choose(merchant(0), broker.Choice{})
		began := w.broker.Epoch()
		components := []broker.ComponentConfig{
			{AppID: componentID, Secret: secret.New(appSecret)}, {AppID: otherComponentID, Secret: secret.New(appSecret)},
		}
		if err := w.broker.SetConfig(components, []broker.AccountConfig{{AppID: merchant(0), Secret: secret.New(appSecret)}}); err != nil {
			t.Fatal(err)
		}
		if err := w.broker.FindAuthorizations(merchant(0), began); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if of, err := w.choose(merchant(0), broker.Choice{}); of != "" || err != nil {
				t.Errorf("the account is one of component %q, %v", of, err)
			}
		}
	})
}
