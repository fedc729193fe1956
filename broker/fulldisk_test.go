package broker_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// fullDisk is a store whose disk can be full: it is read, and takes nothing.
type fullDisk struct {
	*memstore.Store
	full atomic.Bool
	// prefix is the first part of the name of the record that finds the disk full;
	// empty for none.
	prefix atomic.Value
}

func (d *fullDisk) fillsAt(prefix string) { d.prefix.Store(prefix) }

func newDisk(fillsAt string) *fullDisk {
	d := &fullDisk{}
	d.fillsAt(fillsAt)
	d.Store = memstore.New(memstore.Options{FailPut: func(writes []store.Write) error {
		for _, w := range writes {
			if prefix := d.prefix.Load().(string); prefix != "" && strings.HasPrefix(w.Name, prefix) {
				d.full.Store(true)
			}
		}
		if d.full.Load() {
			return errors.New("no space left on device")
		}
		return nil
	}})
	return d
}

// freed makes room.
func (d *fullDisk) freed() {
	d.fillsAt("")
	d.full.Store(false)
}

func (d *fullDisk) has(t *testing.T, prefix string) int {
	t.Helper()
	return len(must(d.List(context.Background(), prefix, "", 1000)))
}

// wantSaved wants the store to have caught up with memory, and a restart to find all.
func (w *world) wantSaved(d *fullDisk, keys ...broker.Key) {
	w.t.Helper()
	d.freed()
	pass(3 * time.Minute)
	if n := w.metric("wxsidecar_unsaved_tokens"); n != 0 {
		w.t.Errorf("%g tokens are still unsaved", n)
	}
	if why := w.broker.Admin().UnsavedReason(); why != "" {
		w.t.Errorf("all is saved, and the reason shown is %q", why)
	}
	if n := d.has(w.t, "inbox/"); n != 0 {
		w.t.Errorf("%d authorizations still wait", n)
	}
	for _, key := range keys {
		w.broker.Renew(key) // so that none is due at the restart
	}
	pass(time.Second)
	before := w.sim.Calls(authorizerPath) + w.sim.Calls(infoPath) + w.sim.Calls(queryAuthPath)
	w.restart()
	for _, key := range keys {
		w.mustCall(key)
	}
	if n := w.sim.Calls(authorizerPath) + w.sim.Calls(infoPath) + w.sim.Calls(queryAuthPath) - before; n != 0 {
		w.t.Errorf("%d calls after the restart: something was lost", n)
	}
}

// TestFullDisk_AnAcknowledgedMerchantIsServed has the disk full from the moment on at
// which an authorization that was acknowledged is to be stored.
func TestFullDisk_AnAcknowledgedMerchantIsServed(t *testing.T) {
	for name, known := range map[string]bool{"new": false, "again": true} {
		t.Run(name, func(t *testing.T) {
			d := newDisk("")
			lit(t, worldOptions{merchants: 1, store: d, sim: wechattest.Options{RotateRefreshTokens: true}}, func(w *world) {
				key := authorizerKey(merchant(9))
				if known {
					w.authorize(merchant(9))
					pass(20 * time.Hour) // it is let go of
					w.ticket()
					pass(time.Second) // the list, which would store it too, is read
				}
				before, asked := w.sim.Calls(queryAuthPath), w.sim.Calls(infoPath)
				d.fillsAt("authorizer/" + merchant(9))
				w.authorize(merchant(9))
				pass(time.Second)
				for range 6 { // each with a renewal
					w.mustCall(key)
					pass(95 * time.Minute)
					w.mustCall(key)
					w.sim.NewTicket(componentID)
				}
				if n := w.sim.Calls(queryAuthPath) - before; n != 1 {
					t.Errorf("the code was exchanged %d times", n)
				}
				if why := w.broker.Admin().UnsavedReason(); !strings.Contains(why, "no space left on device") {
					t.Errorf("the reason shown is %q", why)
				}
				if n := w.sim.Calls(infoPath) - asked; n != 0 {
					t.Errorf("WeChat was asked %d times for what memory has", n)
				}
				if d.has(t, "inbox/") != 1 {
					t.Error("the authorization is not stored, and does not wait any more")
				}
				w.wantSaved(d, key)
			})
		})
	}
}

// TestFullDisk_ARestartFindsTheAuthorization ends the broker while the disk is full:
// memory is lost, and the inbox brings the merchant back.
func TestFullDisk_ARestartFindsTheAuthorization(t *testing.T) {
	d := newDisk("")
	lit(t, worldOptions{merchants: 1, store: d}, func(w *world) {
		d.fillsAt("authorizer/" + merchant(9))
		w.authorize(merchant(9))
		pass(time.Second)
		w.mustCall(authorizerKey(merchant(9)))
		w.restart()
		pass(5 * time.Second)
		w.mustCall(authorizerKey(merchant(9)))
		pass(2 * time.Hour)
		w.mustCall(authorizerKey(merchant(9)))
		if n := w.sim.Calls(infoPath); n > 2 {
			t.Errorf("WeChat was asked %d times for one authorization", n)
		}
		w.wantSaved(d, authorizerKey(merchant(9)))
	})
}

// TestFullDisk_ACodeOfTheAppsIsExchangedOnce has the app exchange the code itself.
func TestFullDisk_ACodeOfTheAppsIsExchangedOnce(t *testing.T) {
	d := newDisk("")
	lit(t, worldOptions{merchants: 1, store: d}, func(w *world) {
		d.full.Store(true)
		code := secret.New(w.sim.Authorize(componentID, merchant(9)))
		answer := must(w.broker.QueryAuth(context.Background(), componentID, code))
		again := func() {
			t.Helper()
			if got, err := w.broker.QueryAuth(context.Background(), componentID, code); err != nil || !bytes.Equal(got, answer) {
				t.Errorf("the second exchange: %v", err)
			}
		}
		w.mustCall(authorizerKey(merchant(9)))
		again()
		w.wantSaved(d, authorizerKey(merchant(9)))
		again()
		if n := w.sim.Calls(queryAuthPath); n != 1 {
			t.Errorf("the code was exchanged %d times", n)
		}
	})
}

// TestFullDisk_AColdStartServesTheList has the disk full when the list is to be stored.
func TestFullDisk_AColdStartServesTheList(t *testing.T) {
	d := newDisk("authorizer/")
	inWorld(t, worldOptions{merchants: 700, store: d}, func(w *world) {
		w.sim.Unlist(componentID, merchant(3), true)
		w.ticket()
		pass(10 * time.Second)
		var keys []broker.Key
		for i := range 700 {
			keys = append(keys, authorizerKey(merchant(i)))
			w.mustCall(keys[i])
		}
		pass(time.Hour)
		if n := w.sim.Calls(listPath); n != 2 {
			t.Errorf("%d pages were read, want 2", n)
		}
		if n := w.sim.Calls(infoPath); n != 1 {
			t.Errorf("WeChat was asked %d times about the one that is listed without a refresh token", n)
		}
		if n := strings.Count(w.logs.String(), "level=ERROR"); n > 1 {
			t.Errorf("%d errors are logged for one disk", n)
		}
		w.wantSaved(d, keys...)
	})
}

// TestFullDisk_TheOnlyAccountIsFound has a call that names no account.
func TestFullDisk_TheOnlyAccountIsFound(t *testing.T) {
	d := newDisk("authorizer/")
	inWorld(t, worldOptions{merchants: 1, store: d}, func(w *world) {
		w.ticket()
		if a, err := w.broker.OnlyAccount(context.Background(), broker.Choice{}); err != nil || a.AppID != merchant(0) {
			t.Errorf("%+v, %v", a, err)
		}
		d.freed()
		pass(10 * time.Second)
		d.full.Store(true)
		code := secret.New(w.sim.Authorize(componentID, merchant(1)))
		must(w.broker.QueryAuth(context.Background(), componentID, code))
		if a, err := w.broker.OnlyAccount(context.Background(), broker.Choice{}); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("with two accounts: %+v, %v", a, err)
		}
	})
}

// TestFullDisk_ALostRefreshTokenIsFoundInTheList has only the list show the refresh
// token in force: no merchant may be asked to authorise again for want of a disk.
func TestFullDisk_ALostRefreshTokenIsFoundInTheList(t *testing.T) {
	d := newDisk("")
	lit(t, worldOptions{merchants: 1, store: d}, func(w *world) {
		w.sim.Fault(infoPath, wechattest.Fault{Body: `{"authorizer_info":{},"authorization_info":{}}`})
		w.sim.RotateRefreshToken(componentID, merchant(0))
		pass(2 * time.Minute) // the list is read anew
		d.full.Store(true)
		w.sim.ExpireToken(merchant(0))
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestFullDisk_IsLoggedOnce has one token wait for room, and then two: each trouble is said
// once, however often saving is tried.
func TestFullDisk_IsLoggedOnce(t *testing.T) {
	d := newDisk("")
	lit(t, worldOptions{merchants: 2, store: d}, func(w *world) {
		for n := range 2 {
			d.full.Store(true)
			for i := range n + 1 {
				w.sim.ExpireToken(merchant(i))
				w.mustCall(authorizerKey(merchant(i)))
			}
			pass(10 * time.Minute)
			d.freed()
			pass(time.Minute)
			for _, text := range []string{"cannot save tokens", "all tokens are saved again"} {
				if said := strings.Count(w.logs.String(), text); said != n+1 {
					t.Errorf("%q was logged %d times in %d troubles", text, said, n+1)
				}
			}
		}
	})
}

// TestFullDisk_TakesSomeChanges has the disk take every other change: what is unsaved comes and
// goes, and the log says once that it began and once that it is over.
func TestFullDisk_TakesSomeChanges(t *testing.T) {
	d := newDisk("")
	lit(t, worldOptions{merchants: 11, store: d}, func(w *world) {
		wantLogged := func(text string, times int) {
			t.Helper()
			if said := strings.Count(w.logs.String(), text); said != times {
				t.Errorf("%q was logged %d times, want %d", text, said, times)
			}
		}
		wantUnsaved := func(want float64) {
			t.Helper()
			if n := w.metric("wxsidecar_unsaved_tokens"); n != want {
				t.Errorf("%g tokens are unsaved, want %g", n, want)
			}
		}
		for i := range 11 {
			d.full.Store(true)
			w.sim.ExpireToken(merchant(i))
			w.mustCall(authorizerKey(merchant(i)))
			wantUnsaved(1)
			d.full.Store(false)
			pass(10 * time.Second)
			wantUnsaved(0)
		}
		wantLogged("cannot save tokens", 1)
		wantLogged("all tokens are saved again", 0)
		pass(time.Minute)
		wantLogged("all tokens are saved again", 1)
	})
}

// TestFullDisk_APushIsNotAcknowledged has the push come while the disk is full: WeChat
// is to send it again.
func TestFullDisk_APushIsNotAcknowledged(t *testing.T) {
	d := newDisk("inbox/")
	lit(t, worldOptions{merchants: 1, store: d}, func(w *world) {
		code := w.sim.Authorize(componentID, merchant(9))
		p := authorized(merchant(9), code)
		if err := w.broker.HandlePush(context.Background(), p); err == nil {
			t.Error("an authorization that is not durable was acknowledged")
		}
		d.freed()
		w.mustPush(p)
		pass(time.Second)
		w.mustCall(authorizerKey(merchant(9)))
	})
}

// TestFullDisk_ARefusedMerchantIsNotUnknown has a call for a merchant whose authorization the
// store did not take: he need not authorise again.
func TestFullDisk_ARefusedMerchantIsNotUnknown(t *testing.T) {
	d := newDisk("inbox/")
	lit(t, worldOptions{merchants: 1, store: d}, func(w *world) {
		account := func(appID, component string) error {
			_, err := w.broker.Account(context.Background(), appID, broker.Choice{Component: component})
			return err
		}
		refuse := func(p wechat.Push) {
			t.Helper()
			if err := w.broker.HandlePush(context.Background(), p); err == nil {
				t.Fatal("an authorization that is not durable was acknowledged")
			}
		}
		p := authorized(merchant(9), w.sim.Authorize(componentID, merchant(9)))
		refuse(p)
		refuse(authorized(merchant(8), "code")) // the list does not have this one
		for _, component := range []string{"", componentID} {
			var state *broker.StateError
			err := account(merchant(8), component)
			if !errors.As(err, &state) || !state.Passing() || state.RetryAfter <= 0 || !strings.Contains(state.Reason, "the store could not be written") {
				t.Errorf("refused, of %q: %v", component, err)
			}
		}
		if err := account(merchant(7), ""); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("never pushed: %v", err)
		}
		d.freed()
		w.mustPush(p)
		pass(time.Second)
		w.mustCall(authorizerKey(merchant(9)))
		pass(10 * time.Minute)
		if err := account(merchant(8), ""); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("refused long ago: %v", err)
		}
	})
}

// TestStoreAway_AnExchangeIsNotLost has the store away altogether while the app
// exchanges the code of a merchant who authorises anew and is not in memory: what the
// store has of an older authorization must not win over it later.
func TestStoreAway_AnExchangeIsNotLost(t *testing.T) {
	store, away := failing()
	lit(t, worldOptions{merchants: 2, store: store, sim: wechattest.Options{RotateRefreshTokens: true, ReauthorizeKillsTokens: true}}, func(w *world) {
		key := authorizerKey(merchant(1))
		for range 5 { // generations, and an end of its use
			w.sim.Displace(merchant(1))
			w.mustCall(key)
			pass(time.Hour)
			w.ticket()
		}
		w.restart()
		pass(10 * time.Hour)
		w.ticket()
		pass(time.Second)
		away.Store(true)
		code := secret.New(w.sim.Authorize(componentID, merchant(1)))
		must(w.broker.QueryAuth(context.Background(), componentID, code))
		w.mustCall(key)
		away.Store(false)
		pass(time.Minute)
		renewed, asked := w.sim.Calls(authorizerPath), w.sim.Calls(infoPath)
		w.mustCall(key)
		w.restart()
		w.mustCall(key)
		if n := w.sim.Calls(authorizerPath) + w.sim.Calls(infoPath) - renewed - asked; n != 0 {
			t.Errorf("%d calls for a token that the exchange brought", n)
		}
	})
}
