package broker_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func (w *world) revoke(appID string, at time.Time) {
	w.t.Helper()
	w.mustPush(wechat.Push{
		ID: "u" + at.String(), Component: componentID, InfoType: wechat.InfoUnauthorized,
		CreateTime: at, AuthorizerAppID: appID,
	})
}

func TestAuthorized_TheCodeIsExchangedAfterTheAnswer(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Latency: 3 * time.Second})
		start := time.Now()
		w.authorize(merchant(1))
		if took := time.Since(start); took > 0 {
			t.Errorf("the push was answered after %s", took)
		}
		time.Sleep(5 * time.Second)
		w.mustCall(authorizerKey(merchant(1)))
		if n := w.sim.Calls(authorizerPath); n != 0 {
			t.Errorf("the token that came with the exchange was not used: %d renewals", n)
		}
	})
}

func TestAuthorized_SurvivesACrashAndAnOutage(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault("/cgi-bin/component/*", wechattest.Fault{Mode: wechattest.Refuse})
		w.sim.Fault("/", wechattest.Fault{Mode: wechattest.Refuse})
		w.authorize(merchant(1))
		time.Sleep(time.Second)
		w.restart()
		time.Sleep(time.Minute)
		w.sim.ClearFaults()
		time.Sleep(10 * time.Second)
		w.mustCall(authorizerKey(merchant(1)))
		if n := w.sim.Calls(authorizerPath); n != 0 {
			t.Errorf("the code was not exchanged after the restart: %d renewals", n)
		}
	})
}

func TestAuthorized_ASpentCodeIsNoLoss(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Mode: wechattest.ResetAfter, Effect: true, Times: 1})
		w.authorize(merchant(1)) // WeChat takes the code, and we never see the answer
		time.Sleep(time.Minute)
		w.mustCall(authorizerKey(merchant(1)))
	})
}

func TestQueryAuth_TheAppAndTheEventShareOneExchange(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		code := w.sim.Authorize(componentID, merchant(1))
		first, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
		if err != nil {
			t.Fatal(err)
		}
		second, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("the same code again: %v, same answer %t", err, bytes.Equal(first, second))
		}
		w.mustPush(wechat.Push{
			ID: "x", Component: componentID, InfoType: wechat.InfoAuthorized, CreateTime: time.Now(),
			AuthorizerAppID: merchant(1), Code: secret.New(code), CodeExpires: time.Now().Add(10 * time.Minute),
		})
		w.restart()
		third, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
		if err != nil || !bytes.Equal(first, third) {
			t.Errorf("the same code after a restart: %v", err)
		}
		if n := w.sim.Calls(queryAuthPath); n != 1 {
			t.Errorf("%d exchanges, want one", n)
		}
		w.mustCall(authorizerKey(merchant(1)))
		time.Sleep(3 * time.Hour)
		_, err = w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
		var api *wechat.APIError
		if !errors.As(err, &api) {
			t.Errorf("the code after its end: %v, want WeChat's refusal", err)
		}
	})
}

// TestQueryAuth_AStaleComponentTokenIsCured has WeChat reject the component's token
// with which the code is exchanged; then also that no other is to be had.
func TestQueryAuth_AStaleComponentTokenIsCured(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Displace(componentID)
		code := w.sim.Authorize(componentID, merchant(1))
		if _, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code)); err != nil {
			t.Errorf("with a token that a fresh one replaces: %v", err)
		}
		w.mustCall(authorizerKey(merchant(1)))
		w.sim.Fault(componentPath, wechattest.Fault{Errcode: -1})
		w.sim.Displace(componentID)
		code = w.sim.Authorize(componentID, merchant(2))
		_, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
		var s *broker.StateError
		if !errors.As(err, &s) || s.State != broker.StateRetrying || !strings.Contains(s.Reason, "errcode -1") {
			t.Errorf("without any other token: %v", err)
		}
		w.sim.ClearFaults()
		time.Sleep(2 * time.Minute)
		if _, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code)); err != nil {
			t.Errorf("the code was lost: %v", err)
		}
	})
}

func TestQueryAuth_WithoutAnAnswerTheCauseIsNamed(t *testing.T) {
	for _, mode := range []wechattest.Mode{wechattest.Refuse, wechattest.HTML} {
		lit(t, worldOptions{}, func(w *world) {
			w.sim.Fault(queryAuthPath, wechattest.Fault{Mode: mode})
			code := w.sim.Authorize(componentID, merchant(1))
			_, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
			var s *broker.StateError
			if !errors.As(err, &s) || !s.Passing() || s.RetryAfter == 0 || !strings.Contains(s.Reason, queryAuthPath) {
				t.Errorf("%s: %v", mode, err)
			}
			w.sim.ClearFaults()
			if _, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code)); err != nil {
				t.Errorf("%s: the code afterwards: %v", mode, err)
			}
		})
	}
}

// TestAuthorized_WaitsForTheTicketOnly has events come before the first ticket: their
// codes live ten minutes, so they are exchanged as soon as a component token is there.
func TestAuthorized_WaitsForTheTicketOnly(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		w.authorize(merchant(1))
		w.authorize(merchant(2))
		time.Sleep(9 * time.Minute)
		w.ticket()
		time.Sleep(time.Second)
		if n := w.sim.Calls(queryAuthPath); n != 2 {
			t.Errorf("%d exchanges a second after the ticket, want both", n)
		}
		w.mustCall(authorizerKey(merchant(1)))
		w.mustCall(authorizerKey(merchant(2)))
	})
}

// TestAuthorized_ManyDuringAnOutage has many events wait in the inbox while WeChat
// lets every call hang: one shows that, and the others wait for its return.
func TestAuthorized_ManyDuringAnOutage(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault("/cgi-bin/component/*", wechattest.Fault{Mode: wechattest.Hang})
		w.sim.Fault("/", wechattest.Fault{Mode: wechattest.Hang})
		for i := range 40 {
			w.authorize(merchant(100 + i))
		}
		time.Sleep(10 * time.Minute)
		if n := w.sim.Calls(queryAuthPath); n > 1 {
			t.Errorf("%d exchanges were tried while nothing answered", n)
		}
		w.sim.ClearFaults()
		time.Sleep(5 * time.Second)
		for i := range 40 {
			w.mustCall(authorizerKey(merchant(100 + i)))
		}
	})
}

// TestQueryAuth_ManyAtOnceShareOneExchange has a code come to us by its event and by
// many calls of the app while the first exchange is under way.
func TestQueryAuth_ManyAtOnceShareOneExchange(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Latency: 2 * time.Second})
		code := w.sim.Authorize(componentID, merchant(1))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code)); err != nil {
					t.Error(err)
				}
			})
		}
		w.mustPush(wechat.Push{
			ID: "x", Component: componentID, InfoType: wechat.InfoAuthorized, CreateTime: time.Now(),
			AuthorizerAppID: merchant(1), Code: secret.New(code), CodeExpires: time.Now().Add(10 * time.Minute),
		})
		all.Wait()
		time.Sleep(time.Second)
		if n := w.sim.Calls(queryAuthPath); n != 1 {
			t.Errorf("%d exchanges of one code", n)
		}
		if left := must(w.store.List(context.Background(), "inbox/", "", 10)); len(left) != 0 {
			t.Errorf("%d events are still in the inbox", len(left))
		}
	})
}

// TestQueryAuth_TheEndWaitsForAnExchange ends the broker while a code is exchanged
// for an app that has left: the code works once, so what it gave must be stored.
func TestQueryAuth_TheEndWaitsForAnExchange(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Latency: 5 * time.Second})
		code := secret.New(w.sim.Authorize(componentID, merchant(1)))
		ctx, leave := context.WithTimeout(context.Background(), time.Second)
		defer leave()
		if _, err := w.broker.QueryAuth(ctx, componentID, code); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("an app that left: %v", err)
		}
		w.restart()
		if _, err := w.broker.QueryAuth(context.Background(), componentID, code); err != nil {
			t.Errorf("the code after a restart: %v", err)
		}
		if n := w.sim.Calls(queryAuthPath); n != 1 {
			t.Errorf("%d exchanges of one code", n)
		}
	})
}

// TestAuthorized_TakenBackBeforeItIsRecovered has a spent code's event outlived by the
// news that the merchant took the authorization back: info, asked too early, may still
// show it, but the later word counts.
func TestAuthorized_TakenBackBeforeItIsRecovered(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 61009})
		w.sim.Fault(infoPath, wechattest.Fault{Latency: 2 * time.Second})
		w.authorize(merchant(0))
		time.Sleep(time.Second)
		w.revoke(merchant(0), time.Now())
		time.Sleep(2 * time.Second)
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		w.sim.ClearFaults()
	})
}

// TestAuthorized_ASpentCodeWithoutAnAppID leaves nothing to ask about but the list.
func TestAuthorized_ASpentCodeWithoutAnAppID(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		time.Sleep(2 * time.Minute)
		code := w.sim.Authorize(componentID, merchant(5))
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 61009})
		w.mustPush(wechat.Push{
			ID: "f", Component: componentID, InfoType: wechat.InfoFastVerifyBeta, CreateTime: time.Now(), Code: secret.New(code),
		})
		time.Sleep(2 * time.Second)
		w.sim.ClearFaults()
		before := w.sim.Calls(listPath)
		w.mustCall(authorizerKey(merchant(5)))
		if n := w.sim.Calls(listPath) - before; n != 0 {
			t.Errorf("the list was read %d times for a call, want before it", n)
		}
	})
}

// TestAuthorized_IsGivenUpAfterADay has an event that never comes to anything; after a
// day it is let go of, and costs no call any more.
func TestAuthorized_IsGivenUpAfterADay(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		defer w.tickets()()
		w.sim.Fault(queryAuthPath, wechattest.Fault{Errcode: 48001})
		w.authorize(merchant(5))
		time.Sleep(25 * time.Hour)
		before := w.sim.Calls(queryAuthPath)
		if before < 24 {
			t.Errorf("it was tried %d times in a day", before)
		}
		time.Sleep(5 * time.Hour)
		if n := w.sim.Calls(queryAuthPath) - before; n != 0 {
			t.Errorf("it was tried %d times after a day", n)
		}
		if left := must(w.store.List(context.Background(), "inbox/", "", 10)); len(left) != 0 {
			t.Errorf("%d events are still in the inbox", len(left))
		}
		w.sim.ClearFaults()
	})
}

func TestFastRegister_TheCodeIsExchanged(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		code := w.sim.Authorize(componentID, merchant(9))
		w.mustPush(wechat.Push{
			ID: "f", Component: componentID, InfoType: wechat.InfoFastRegister, CreateTime: time.Now(),
			AuthorizerAppID: merchant(9), Code: secret.New(code),
		})
		time.Sleep(time.Second)
		w.mustCall(authorizerKey(merchant(9)))
	})
}

func TestUnauthorized_TokensAreGoneAtOnce(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		w.sim.Revoke(componentID, merchant(0))
		w.revoke(merchant(0), time.Now())
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		w.mustCall(authorizerKey(merchant(1)))
		w.restart()
		w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
		w.authorize(merchant(0))
		time.Sleep(time.Second)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestUnauthorized_AmidARenewalOfARejectedToken has the event overtake the answer
// to a renewal that a rejected token forced: neither the new token nor the rejected
// one may come back, and the verdict is not asked about at once.
func TestUnauthorized_AmidARenewalOfARejectedToken(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Fault(authorizerPath, wechattest.Fault{Latency: 2 * time.Second})
		w.sim.Displace(merchant(0))
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.mustFail(key, broker.StateUnauthorized)
		}()
		time.Sleep(time.Second)
		w.revoke(merchant(0), time.Now())
		<-done
		time.Sleep(2 * time.Second)
		w.mustFail(key, broker.StateUnauthorized)
		if n := w.sim.Calls(infoPath); n != 0 {
			t.Errorf("WeChat was asked %d times about what it had just told", n)
		}
		w.sim.ClearFaults()
		time.Sleep(time.Minute)
		w.mustCall(key) // WeChat knows the authorization after all
	})
}

// TestUnauthorized_TicketsForPagesGoAsWell takes an authorization back, by the event
// and found out by a renewal, of an account whose tickets for pages are held.
func TestUnauthorized_TicketsForPagesGoAsWell(t *testing.T) {
	for _, told := range []bool{true, false} {
		lit(t, worldOptions{merchants: 2}, func(w *world) {
			ctx := context.Background()
			keys := []broker.Key{{Kind: broker.KindJSAPITicket, AppID: merchant(0)}, {Kind: broker.KindWXCardTicket, AppID: merchant(0)}}
			other := broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(1)}
			must(w.broker.Token(ctx, other))
			for _, key := range keys {
				must(w.broker.Token(ctx, key))
			}
			w.sim.Revoke(componentID, merchant(0))
			if told {
				w.revoke(merchant(0), time.Now())
			} else {
				held := must(w.broker.Token(ctx, authorizerKey(merchant(0))))
				w.broker.Report(held.Key(), held.Generation, 40001)
				w.mustFail(authorizerKey(merchant(0)), broker.StateUnauthorized)
			}
			for range 2 {
				for _, key := range keys {
					start := time.Now()
					tok, err := w.broker.Token(ctx, key)
					var s *broker.StateError
					if !errors.As(err, &s) || s.State != broker.StateUnauthorized || time.Since(start) > time.Second {
						t.Errorf("told %t: %v, %v after %s", told, tok, err, time.Since(start))
					}
				}
				w.restart()
			}
			must(w.broker.Token(ctx, other))
			w.authorize(merchant(0))
			time.Sleep(time.Second)
			for _, key := range keys {
				if _, err := w.broker.Token(ctx, key); err != nil {
					t.Errorf("told %t: after authorising again: %v", told, err)
				}
			}
		})
	}
}

func TestUnauthorized_OlderThanTheAuthorizationIsVoid(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		before := time.Now()
		time.Sleep(time.Hour)
		w.authorize(merchant(0))
		time.Sleep(time.Second)
		w.revoke(merchant(0), before)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

func TestUnauthorized_FoundOutAndForgotten(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.Revoke(componentID, merchant(0)) // and the event is lost
		time.Sleep(2 * time.Hour)
		w.mustFail(key, broker.StateUnauthorized)
		calls := w.tokenCalls() + w.sim.Calls(infoPath)
		for range 100 {
			w.mustFail(key, broker.StateUnauthorized)
		}
		if n := w.tokenCalls() + w.sim.Calls(infoPath) - calls; n != 0 {
			t.Errorf("a verdict just given was asked for %d times", n)
		}
		w.sim.Authorize(componentID, merchant(0)) // and the event is lost too
		time.Sleep(7 * time.Hour)
		w.mustCall(key)
	})
}

func TestRefreshToken_RotatesAndIsKept(t *testing.T) {
	o := worldOptions{merchants: 3, sim: wechattest.Options{RotateRefreshTokens: true}}
	lit(t, o, func(w *world) {
		defer w.tickets()()
		keys := []broker.Key{authorizerKey(merchant(0)), authorizerKey(merchant(1)), authorizerKey(merchant(2))}
		for range 5 {
			if failed := w.keepCalling(keys, 5*time.Hour, 10*time.Minute); failed != 0 {
				t.Errorf("%d calls failed", failed)
			}
			w.restart()
		}
	})
}

func TestRefreshToken_VoidIsRecovered(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		w.sim.RotateRefreshToken(componentID, merchant(0)) // behind our back
		w.sim.ExpireToken(merchant(0))
		w.mustCall(authorizerKey(merchant(0)))
	})
}

func TestRefreshToken_VoidForGood(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		key := authorizerKey(merchant(0))
		w.sim.VoidRefreshToken(componentID, merchant(0))
		w.sim.ExpireToken(merchant(0))
		w.use(key, must(w.broker.Token(context.Background(), key)))
		code, err := w.call(key)
		var s *broker.StateError
		if code != 42001 && (!errors.As(err, &s) || s.State != broker.StateNeedsAuthorization) {
			t.Fatalf("errcode %d, error %v", code, err)
		}
		time.Sleep(3 * time.Hour)
		w.mustFail(key, broker.StateNeedsAuthorization)
		if n := w.metric("wxsidecar_keys", "kind", "authorizer", "state", "needs_authorization"); n != 1 {
			t.Errorf("%g keys need authorization, want 1", n)
		}
		before := w.sim.Calls(listPath) + w.sim.Calls(infoPath)
		for range 50 {
			w.mustFail(key, broker.StateNeedsAuthorization)
		}
		if n := w.sim.Calls(listPath) + w.sim.Calls(infoPath) - before; n > 0 {
			t.Errorf("a verdict just given was asked for %d times", n)
		}
		w.mustCall(authorizerKey(merchant(1)))
		w.authorize(merchant(0))
		time.Sleep(time.Second)
		w.mustCall(key)
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestReconcile_FindsWhoCameAndWentUnheard(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		w.sim.AddAuthorizer(componentID, merchant(50))
		w.sim.Unlist(componentID, merchant(50), true)
		w.sim.Revoke(componentID, merchant(1))
		w.sim.Fault(listPath, wechattest.Fault{Status: 502, Times: 2})
		time.Sleep(6*time.Hour + 2*time.Minute)
		w.mustCall(authorizerKey(merchant(50)))
		w.mustFail(authorizerKey(merchant(1)), broker.StateUnauthorized)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

func TestReconcile_GoesOnWhereItStopped(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2600}, func(w *world) {
		w.sim.Fault(listPath, wechattest.Fault{Latency: time.Second})
		w.sim.Fault(listPath, wechattest.Fault{Mode: wechattest.HTML, Probability: 0.5})
		w.ticket()
		time.Sleep(10 * time.Minute)
		w.sim.ClearFaults()
		for i := range 2600 {
			w.mustCall(authorizerKey(merchant(i)))
		}
	})
}

// TestRefreshToken_ManyVoidOnesLeaveOthersAlone has more merchants than there are
// workers in need of a list that takes WeChat half a minute.
func TestRefreshToken_ManyVoidOnesLeaveOthersAlone(t *testing.T) {
	lit(t, worldOptions{merchants: 3000}, func(w *world) {
		time.Sleep(2 * time.Minute)
		w.sim.Fault(listPath, wechattest.Fault{Latency: 4 * time.Second})
		for i := range 20 {
			w.sim.VoidRefreshToken(componentID, merchant(i))
			w.sim.ExpireToken(merchant(i))
		}
		for i := range 20 {
			go func() { _, _ = w.call(authorizerKey(merchant(i))) }()
		}
		time.Sleep(time.Second / 2)
		for i := range 20 {
			start := time.Now()
			w.sim.ExpireToken(merchant(30 + i))
			w.mustCall(authorizerKey(merchant(30 + i)))
			if took := time.Since(start); took > time.Second {
				t.Errorf("another merchant's call took %s", took)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		pages := w.sim.Calls(listPath)
		for range 10 {
			time.Sleep(time.Minute)
			waited := 0
			for i := range 20 {
				start := time.Now()
				w.mustFail(authorizerKey(merchant(i)), broker.StateNeedsAuthorization)
				if time.Since(start) > 5*time.Second {
					waited++
				}
			}
			if waited > 1 { // one of them reads the list
				t.Errorf("%d merchants who must authorise again waited", waited)
			}
		}
		if n := w.sim.Calls(listPath) - pages; n > 80 {
			t.Errorf("the list's pages were asked for %d times in ten minutes", n)
		}
		w.sim.ClearFaults()
	})
}

// TestReconcile_AsksOnAboutTheUnlisted has the questions about accounts that are
// listed without a refresh token fail once, in one way or another.
func TestReconcile_AsksOnAboutTheUnlisted(t *testing.T) {
	for _, fault := range []wechattest.Fault{{Mode: wechattest.HTML}, {Mode: wechattest.Refuse}, {Mode: wechattest.Hang}, {Errcode: 40001}} {
		inWorld(t, worldOptions{merchants: 30}, func(w *world) {
			for i := range 30 {
				w.sim.Unlist(componentID, merchant(i), true)
			}
			w.sim.Fault(infoPath, wechattest.Fault{AppID: merchant(9), Latency: time.Second})
			fault.AppID, fault.Times = merchant(10), 1
			w.sim.Fault(infoPath, fault)
			w.ticket()
			time.Sleep(5 * time.Minute)
			for i := range 30 {
				if n := w.sim.CallsFor(infoPath, merchant(i)); n != 1 && (i != 10 || n != 2) {
					t.Errorf("%v: asked %d times about merchant %d", fault, n, i)
				}
			}
		})
	}
}

// TestReconcile_OneOfTheUnlistedHoldsUpNobody has one about whom WeChat never says
// anything that can be read.
func TestReconcile_OneOfTheUnlistedHoldsUpNobody(t *testing.T) {
	inWorld(t, worldOptions{merchants: 30}, func(w *world) {
		for i := range 30 {
			w.sim.Unlist(componentID, merchant(i), true)
		}
		w.sim.Fault(infoPath, wechattest.Fault{AppID: merchant(0), Mode: wechattest.HTML})
		w.ticket()
		time.Sleep(5 * time.Minute)
		for i := 1; i < 30; i++ {
			if n := w.sim.CallsFor(infoPath, merchant(i)); n != 1 {
				t.Errorf("asked %d times about merchant %d", n, i)
			}
		}
		if n := w.sim.CallsFor(infoPath, merchant(0)); n < 2 || n > 6 {
			t.Errorf("asked %d times in five minutes about the one in trouble", n)
		}
	})
}

// TestReconcile_TheUnlistedHoldUpNobody has so many of them that asking takes
// minutes, while the list is needed for another merchant.
func TestReconcile_TheUnlistedHoldUpNobody(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2001}, func(w *world) {
		for i := range 2000 {
			w.sim.Unlist(componentID, merchant(i), true)
		}
		w.ticket()
		time.Sleep(70 * time.Second)
		key := authorizerKey(merchant(2000))
		w.mustCall(key)
		w.sim.RotateRefreshToken(componentID, merchant(2000))
		w.sim.Fault(infoPath, wechattest.Fault{AppID: merchant(2000), Body: `{"authorizer_info":{},"authorization_info":{}}`})
		w.sim.ExpireToken(merchant(2000))
		w.mustCall(key)
		w.sim.ClearFaults()
		if n := w.sim.Calls(infoPath); n > 1900 {
			t.Errorf("%d were asked about by now, the test needs that to go on", n)
		}
		time.Sleep(2 * time.Minute)
		if n := w.sim.Calls(infoPath); n < 2000 {
			t.Errorf("only %d were asked about", n)
		}
	})
}

func TestUnknown_ALostAuthorizationIsFoundByTheFirstCall(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		time.Sleep(time.Hour)
		w.sim.AddAuthorizer(componentID, merchant(7)) // and the event is lost
		before := w.sim.Calls(listPath)
		for range 20 {
			_, _ = w.call(authorizerKey(merchant(7)))
			time.Sleep(time.Second)
		}
		w.mustCall(authorizerKey(merchant(7)))
		for range 100 {
			if _, err := w.call(authorizerKey("wxffffffffffffffff")); !errors.Is(err, broker.ErrUnknownAccount) {
				t.Fatalf("an appid of nobody's: %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := w.sim.Calls(listPath) - before; n != 1 {
			t.Errorf("unknown appids had the list read %d times, want once in ten minutes", n)
		}
	})
}

// TestQueryAuth_WithoutAPIPermission has a merchant authorise whose account may not
// call APIs: WeChat then gives no tokens for the code. That is told apart from a void
// refresh token, harms nobody else, and ends when the merchant has the permission.
func TestQueryAuth_WithoutAPIPermission(t *testing.T) {
	lit(t, worldOptions{merchants: 2}, func(w *world) {
		poor := merchant(1)
		w.sim.SetProfile(componentID, poor, wechattest.Profile{NoAPI: true})
		renewals := w.sim.CallsFor(authorizerPath, poor)
		code := w.sim.Authorize(componentID, poor)
		answer, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
		if err != nil || !strings.Contains(string(answer), poor) || strings.Contains(string(answer), "token") {
			t.Fatalf("the app got %s, %v", answer, err)
		}
		w.authorize(poor)
		time.Sleep(time.Minute)
		s := w.mustFail(authorizerKey(poor), broker.StateNeedsAuthorization)
		if want := "the account may lack the API permissions; the merchant must authorise again, and grant them"; s.Errcode != 0 || !strings.HasSuffix(s.Reason, want) {
			t.Errorf("errcode %d, %s", s.Errcode, s.Reason)
		}
		w.mustCall(authorizerKey(merchant(0)))
		if n := w.sim.CallsFor(authorizerPath, poor) - renewals; n != 0 {
			t.Errorf("renewed %d times without a refresh token", n)
		}
		w.sim.SetProfile(componentID, poor, wechattest.Profile{})
		w.authorize(poor)
		time.Sleep(time.Second)
		w.mustCall(authorizerKey(poor))
	})
}

// TestQueryAuth_AnAnswerThatRenewalsOvertake has WeChat's answer to an exchange take
// so long that the merchant's token is renewed twice meanwhile, each time with a new
// refresh token: the one of the exchange is old then and must not come back.
func TestQueryAuth_AnAnswerThatRenewalsOvertake(t *testing.T) {
	o := worldOptions{merchants: 1, sim: wechattest.Options{RotateRefreshTokens: true}}
	lit(t, o, func(w *world) {
		w.sim.Fault(queryAuthPath, wechattest.Fault{Drip: 10 * time.Millisecond})
		code := w.sim.Authorize(componentID, merchant(0))
		exchanged := make(chan error, 1)
		go func() {
			_, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
			exchanged <- err
		}()
		time.Sleep(time.Second)
		for range 2 {
			w.sim.ExpireToken(merchant(0))
			w.mustCall(authorizerKey(merchant(0)))
		}
		if len(exchanged) != 0 {
			t.Fatal("the exchange was over before the renewals")
		}
		if err := <-exchanged; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // rejected tokens are replaced at no faster pace
		refused := w.sim.Calls(infoPath)
		w.sim.ExpireToken(merchant(0))
		w.mustCall(authorizerKey(merchant(0)))
		if n := w.sim.Calls(infoPath) - refused; n != 0 {
			t.Error("a refresh token had to be asked for: the newest was lost")
		}
	})
}
