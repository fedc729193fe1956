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
		pass(3 * time.Hour)
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
		pass(2 * time.Minute)
		if _, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code)); err != nil {
			t.Errorf("the code was lost: %v", err)
		}
	})
}

// TestQueryAuth_WithoutAnAnswerTheCauseIsNamed tells an exchange that never came to
// WeChat from one for which WeChat may have spent the code.
func TestQueryAuth_WithoutAnAnswerTheCauseIsNamed(t *testing.T) {
	f := func(mode wechattest.Mode, want func(err error) bool) {
		t.Helper()
		lit(t, worldOptions{}, func(w *world) {
			w.sim.Fault(queryAuthPath, wechattest.Fault{Mode: mode})
			code := w.sim.Authorize(componentID, merchant(1))
			_, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
			if err == nil || !want(err) || !strings.Contains(err.Error(), "api_query_auth") {
				t.Errorf("%s: %#v", mode, err)
			}
			w.sim.ClearFaults()
			if _, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code)); err != nil {
				t.Errorf("%s: the code afterwards: %v", mode, err)
			}
		})
	}
	f(wechattest.Refuse, func(err error) bool {
		var s *broker.StateError
		return errors.As(err, &s) && s.Passing() && s.RetryAfter > 0
	})
	sent := func(err error) bool {
		var silent *wechat.NoAnswerError
		return errors.As(err, &silent) && silent.Sent
	}
	f(wechattest.ResetAfter, sent)
	f(wechattest.Close, sent)
	f(wechattest.Hang, sent)
	f(wechattest.HTML, func(err error) bool {
		var bad *wechat.BadAnswerError
		return errors.As(err, &bad)
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
		pass(time.Second)
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
		var silent *wechat.NoAnswerError
		if _, err := w.broker.QueryAuth(ctx, componentID, code); !errors.As(err, &silent) || !silent.Sent || !silent.Timeout() {
			t.Fatalf("an app that left: %v does not say that the code may be spent", err)
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
		pass(time.Minute)
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
		pass(time.Second)
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
		pass(time.Second)
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
		pass(time.Minute) // rejected tokens are replaced at no faster pace
		refused := w.sim.Calls(infoPath)
		w.sim.ExpireToken(merchant(0))
		w.mustCall(authorizerKey(merchant(0)))
		if n := w.sim.Calls(infoPath) - refused; n != 0 {
			t.Error("a refresh token had to be asked for: the newest was lost")
		}
	})
}
