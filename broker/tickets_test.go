package broker_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func TestTickets_OlderOnesAreTried(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		w.ticket()
		w.mustCall(platformKey)
		w.mustPush(wechat.Push{ // one that WeChat will not take
			ID: "bad", Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now().Add(time.Second), Ticket: secret.New("ticket@@@not-of-this-component"),
		})
		w.sim.ExpireToken(componentID)
		w.mustCall(platformKey)
	})
}

func TestTickets_AnOlderOneNeverReplacesANewer(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		old := wechat.Push{
			ID: "old", Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now(), Ticket: secret.New(w.sim.NewTicket(componentID)),
		}
		pass(time.Hour)
		w.ticket()
		age := w.metric("wxsidecar_ticket_age_seconds")
		pass(time.Minute)
		w.mustPush(old)
		if got := w.metric("wxsidecar_ticket_age_seconds"); got < age+60 {
			t.Errorf("the age of the ticket went from %gs to %gs", age, got)
		}
	})
}

// TestTickets_OneThatComesAmidARenewalIsTried has a ticket come while WeChat is about
// to refuse those that the renewal under way, ahead of time, began with.
func TestTickets_OneThatComesAmidARenewalIsTried(t *testing.T) {
	var sent atomic.Int32
	o := worldOptions{adjust: func(o *broker.Options) {
		o.Checkpoint = func(name string) {
			if name == "renewal-sending" {
				sent.Add(1)
			}
		}
	}}
	lit(t, o, func(w *world) {
		w.sim.ExpireTickets(componentID)
		w.sim.Fault(componentPath, wechattest.Fault{Latency: 3 * time.Second})
		before := sent.Load()
		for range 2 * 3600 {
			if sent.Load() > before {
				break
			}
			pass(time.Second)
		}
		w.ticket()
		pass(10 * time.Second)
		w.sim.ClearFaults()
		if n := w.sim.TokensIssued(componentID); n != 2 {
			t.Errorf("%d component tokens, want a second one by the ticket that came", n)
		}
	})
}

// TestTickets_OneFromTheFutureShutsNoOthersOut has a push whose CreateTime is a year
// ahead; the next true ones must replace its ticket all the same.
func TestTickets_OneFromTheFutureShutsNoOthersOut(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		w.mustPush(wechat.Push{
			ID: "future", Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now().Add(365 * 24 * time.Hour), Ticket: secret.New(w.sim.NewTicket(componentID)),
		})
		pass(10 * time.Minute)
		w.ticket()
		if got := w.broker.Tickets(); got[0].Age > time.Minute {
			t.Errorf("%+v after a push", got)
		}
	})
}

func TestTickets_AgeIsShown(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		if got := w.broker.Tickets(); len(got) != 1 || got[0].Held || got[0].Component != componentID || got[0].Age != 0 {
			t.Errorf("before the first ticket: %+v", got)
		}
		w.ticket()
		pass(7 * time.Minute)
		if got := w.broker.Tickets(); len(got) != 1 || !got[0].Held || (got[0].Age-7*time.Minute).Abs() > time.Second {
			t.Errorf("seven minutes later: %+v", got)
		}
	})
}

func TestTickets_AskedForWithPatience(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		pass(59 * time.Minute) // between two requests
		if n := w.sim.Calls(startPath); n < 5 || n > 7 {
			t.Errorf("without any ticket WeChat was asked %d times in an hour, want each ten minutes", n)
		}
		w.ticket()
		before := w.sim.Calls(startPath)
		pass(24 * time.Minute)
		if n := w.sim.Calls(startPath) - before; n != 0 {
			t.Errorf("asked %d times within 25 minutes of a ticket", n)
		}
		pass(2 * time.Minute)
		if n := w.sim.Calls(startPath) - before; n != 1 {
			t.Errorf("asked %d times after 26 minutes without a ticket, want once", n)
		}
	})
}

func TestTickets_ServiceUntilTheLastSecond(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		if failed := w.keepCalling([]broker.Key{authorizerKey(merchant(0))}, 11*time.Hour, 10*time.Minute); failed != 0 {
			t.Errorf("%d calls failed within the ticket's life", failed)
		}
		pass(6 * time.Hour)
		s := w.mustFail(platformKey, broker.StateWaitingTicket)
		if !strings.Contains(s.Reason, "ticket missing since") || s.RetryAfter == 0 {
			t.Errorf("the reason: %q, retry after %s", s.Reason, s.RetryAfter)
		}
		w.mustFail(authorizerKey(merchant(0)), broker.StateWaitingTicket)
		w.ticket()
		pass(2 * time.Second)
		w.mustCall(authorizerKey(merchant(0)))
	})
}

// TestTickets_MissingForAsLongAsByAnyClock starts by a clock that is an hour ahead, of
// which WeChat's answers tell.
func TestTickets_MissingForAsLongAsByAnyClock(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		w.halt()
		w.wall = time.Hour
		w.start()
		pass(45 * time.Minute)
		if s := w.mustFail(platformKey, broker.StateWaitingTicket); !strings.Contains(s.Reason, "(45m") {
			t.Errorf("after 45 minutes: %q", s.Reason)
		}
	})
}

// TestTickets_ANewOneEndsTheWaitForIt has a renewal of the component fail because
// WeChat takes none of the tickets held: ahead of time, while the token lives, or
// because the token is rejected. The next ticket must bring it about by itself.
func TestTickets_ANewOneEndsTheWaitForIt(t *testing.T) {
	for _, rejected := range []bool{false, true} {
		lit(t, worldOptions{}, func(w *world) {
			w.sim.ExpireTickets(componentID)
			if rejected {
				w.sim.Displace(componentID)
				w.mustFail(platformKey, broker.StateWaitingTicket)
			}
			pass(95 * time.Minute)
			before := w.sim.Calls(componentPath)
			w.ticket()
			pass(2 * time.Second)
			if n := w.sim.Calls(componentPath) - before; n != 1 {
				t.Errorf("rejected %t: %d token calls after the ticket came, want one", rejected, n)
			}
			w.ticket()
			pass(2 * time.Second)
			if n := w.sim.Calls(componentPath) - before; n != 1 {
				t.Errorf("rejected %t: %d token calls after another ticket, want none", rejected, n-1)
			}
			if missing := w.broker.Missing(); len(missing) != 0 {
				t.Errorf("rejected %t: missing: %+v", rejected, missing)
			}
		})
	}
}

func TestTickets_RefusedPushesAreNamedInTheReason(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		f := func(appID, cause, want string) {
			t.Helper()
			w.broker.PushRefused(appID, cause)
			pass(time.Minute)
			want = "refused (" + cause + ", 1m0s ago): " + want
			if m := w.broker.Missing(); len(m) != 1 || !strings.Contains(m[0].Reason, want) {
				t.Errorf("missing: %+v\nwant in it %s", m, want)
			}
		}
		const url = "the authorization-event URL (授权事件接收URL) in WeChat's console must end in /wechat/" + componentID + "/event"
		f("", "unknown_path", url)
		f("wxffffffffffffffff", "unknown_component", url)
		f(componentID, "unknown_path", url)
		f(componentID, "forged", "compare push_token")
		f(componentID, "padding", "compare encoding_aes_key")
		f(componentID, "outside_window", "the clocks differ")
		f(componentID, "cut_off", "the body breaks off")
		f(componentID, "too_large", "a body of more than 1 MiB")
		f(componentID, "parameters", "msg_signature, timestamp or nonce is missing")
		f(componentID, "busy", "more is sent to the push listener at once")
		f(componentID, "envelope", "the body is not what WeChat sends")
		w.broker.PushRefused("", "unknown_path") // the component's own counts for more
		if m := w.broker.Missing(); len(m) != 1 || !strings.Contains(m[0].Reason, "refused (envelope, 1m0s ago)") {
			t.Errorf("missing: %+v", m)
		}
		pass(time.Hour)
		if m := w.broker.Missing(); len(m) != 1 || strings.Contains(m[0].Reason, "refused") {
			t.Errorf("missing: %+v", m)
		}
	})
}

// TestTickets_ThoseThatWeChatRefusesAreNamedInTheReason has pushes come and WeChat take
// none of them, for hours.
func TestTickets_ThoseThatWeChatRefusesAreNamedInTheReason(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.sim.Fault(componentPath, wechattest.Fault{Errcode: 61006})
		stop := w.tickets()
		pass(4*time.Hour + 3*time.Minute)
		stop()
		m := w.broker.Missing()
		if len(m) != 1 || m[0].State != "waiting_ticket" {
			t.Fatalf("missing: %+v", m)
		}
		for _, want := range []string{"WeChat pushes them and refuses them (the newest came 3m", "errcode 61006", "ticket missing since 2000-01-01T01:"} {
			if !strings.Contains(m[0].Reason, want) {
				t.Errorf("the reason: %s\nwant in it %s", m[0].Reason, want)
			}
		}
		if strings.Contains(m[0].Reason, "check that") {
			t.Errorf("the reason blames the push listener: %s", m[0].Reason)
		}
		pass(time.Hour) // and now none come
		if m := w.broker.Missing(); len(m) != 1 || !strings.Contains(m[0].Reason, "check that the authorization-event URL") {
			t.Errorf("missing: %+v", m)
		}
	})
}

// TestTickets_ThoseThatWeChatRefusesAreNotSentAgainAndAgain has callers wait for a
// component of which WeChat takes no ticket.
func TestTickets_ThoseThatWeChatRefusesAreNotSentAgainAndAgain(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		w.ticket()
		w.ticket()
		w.sim.Fault(componentPath, wechattest.Fault{Errcode: 61006})
		w.sim.Displace(componentID)
		before := w.sim.Calls(componentPath)
		w.hold(platformKey, broker.StateWaitingTicket, time.Hour, 10*time.Second)
		if n := w.sim.Calls(componentPath) - before; n > 65 {
			t.Errorf("%d token calls in an hour, want one a minute at most", n)
		}
		w.sim.ClearFaults()
		w.healed(platformKey, 2*time.Minute)
	})
}
