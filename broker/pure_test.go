package broker

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

var noon = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC) // in China

func TestTransition(t *testing.T) {
	f := func(from State, ev event, want State) {
		t.Helper()
		c := condition{state: from, since: instantOf(noon)}
		switch from {
		case StateLive, StateRenewing, StateUnknown:
		default:
			c.trouble = from
		}
		got := transition(c, ev, noon.Add(time.Minute))
		if got.state != want {
			t.Errorf("%s on %d (alive %t): %s, want %s", from, ev.kind, ev.alive, got.state, want)
		}
		if changed := got.since > instantOf(noon); changed != (from != want) {
			t.Errorf("%s on %d: since was moved: %t", from, ev.kind, changed)
		}
	}
	alive := func(what eventKind) event { return event{kind: what, alive: true} }
	dead := func(what eventKind) event { return event{kind: what} }

	f(StateUnknown, dead(eventDue), StateRenewing)
	f(StateRenewing, alive(eventRenewed), StateLive)
	f(StateRenewing, dead(eventNoTicket), StateWaitingTicket)
	f(StateWaitingTicket, dead(eventTicket), StateRenewing)
	f(StateWaitingTicket, dead(eventDue), StateWaitingTicket)
	f(StateMisconfigured, dead(eventTicket), StateMisconfigured)
	f(StateLive, alive(eventFailed), StateLive)
	f(StateLive, alive(eventQuota), StateLive)
	f(StateLive, alive(eventMisconfigured), StateLive)
	f(StateLive, alive(eventNoTicket), StateLive)
	f(StateLive, dead(eventDied), StateRenewing)
	f(StateRetrying, dead(eventDied), StateRetrying)
	f(StateRenewing, dead(eventFailed), StateRetrying)
	f(StateRetrying, alive(eventRenewed), StateLive)
	f(StateRetrying, dead(eventQuota), StateQuotaExhausted)
	f(StateQuotaExhausted, dead(eventDue), StateQuotaExhausted)
	f(StateQuotaExhausted, alive(eventRenewed), StateLive)
	f(StateQuotaExhausted, dead(eventReset), StateRenewing)
	f(StateRenewing, dead(eventMisconfigured), StateMisconfigured)
	f(StateMisconfigured, dead(eventReset), StateRenewing)
	f(StateLive, dead(eventRevoked), StateUnauthorized)
	f(StateLive, alive(eventRevoked), StateUnauthorized)
	f(StateUnauthorized, dead(eventDue), StateUnauthorized)
	f(StateUnauthorized, dead(eventTicket), StateUnauthorized)
	f(StateUnauthorized, alive(eventAuthorized), StateLive)
	f(StateUnauthorized, dead(eventAuthorized), StateRenewing)
	f(StateRenewing, dead(eventRefreshVoid), StateNeedsAuthorization)
	f(StateLive, alive(eventRefreshVoid), StateLive)
	f(StateNeedsAuthorization, dead(eventDied), StateNeedsAuthorization)
	f(StateNeedsAuthorization, alive(eventAuthorized), StateLive)
	f(StateRenewing, event{kind: eventBlocked, blocker: StateWaitingTicket}, StateWaitingTicket)
	f(StateRenewing, event{kind: eventBlocked, blocker: StateRenewing}, StateRetrying)
	f(StateRenewing, event{kind: eventBlocked, blocker: StateMisconfigured}, StateMisconfigured)
	f(StateWaitingTicket, dead(eventUnblocked), StateRenewing)
}

func TestDue(t *testing.T) {
	f := func(kind Kind, life, full time.Duration, r float64, want time.Duration) {
		t.Helper()
		tok := NewToken(Key{Kind: kind}, secret.Text{}, 1, noon, noon.Add(life))
		if got := due(tok, full, 0.75, r).Sub(noon); got != want {
			t.Errorf("%s that lives %s: due after %s, want %s", kind, life, got, want)
		}
	}
	f(KindAuthorizer, 2*time.Hour, 0, 0, 90*time.Minute)
	f(KindAuthorizer, 2*time.Hour, 0, 0.5, 84*time.Minute)
	f(KindComponent, 12*time.Second, 0, 0, 9*time.Second)
	f(KindAccount, 2*time.Hour, 2*time.Hour, 0, 115*time.Minute)
	f(KindAccount, time.Hour, 2*time.Hour, 0, 55*time.Minute)
	f(KindAccount, 24*time.Second, 24*time.Second, 0, 23*time.Second)
}

func TestBackoff(t *testing.T) {
	f := func(failures int, life time.Duration, r float64, want time.Duration) {
		t.Helper()
		if got := backoff(failures, life, r); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
	f(0, fullLife, 0, time.Second)
	f(1, fullLife, 0, time.Second)
	f(2, fullLife, 0, 5*time.Second)
	f(3, fullLife, 0, 20*time.Second)
	f(4, fullLife, 0, 75*time.Second)
	f(99, fullLife, 0.5, 90*time.Second)
	f(4, 12*time.Second, 0, time.Second)
}

func TestForcedBudget(t *testing.T) {
	var b forcedBudget
	f := func(after time.Duration, want bool) {
		t.Helper()
		if got := b.take(noon.Add(after), fullLife); got != want {
			t.Errorf("after %s: %t, want %t", after, got, want)
		}
	}
	for range 6 {
		f(0, true)
	}
	f(time.Second, false)
	f(29*time.Second, false)
	f(31*time.Second, true)
	f(32*time.Second, false)
	for range 6 {
		f(10*time.Minute, true)
	}
	f(10*time.Minute, false)
}

func TestDayBudget(t *testing.T) {
	var b dayBudget
	f := func(after time.Duration, want bool) {
		t.Helper()
		if got := b.take(noon.Add(after), 2); got != want {
			t.Errorf("after %s: %t, want %t", after, got, want)
		}
	}
	f(0, true)
	f(time.Hour, true)
	f(11*time.Hour, false)
	f(12*time.Hour, true) // midnight in China
	f(13*time.Hour, true)
	f(14*time.Hour, false)
}

func TestUntilStart(t *testing.T) {
	f := func(p platformRecord, fails int, want time.Duration) {
		t.Helper()
		if got := max(0, untilStart(p, fails, noon)); got != want {
			t.Errorf("%+v, %d refusals: after %s, want %s", p, fails, got, want)
		}
	}
	f(platformRecord{}, 0, 0)
	f(platformRecord{asked: noon.Add(-time.Minute)}, 0, 9*time.Minute)
	f(platformRecord{asked: noon.Add(-time.Minute)}, 1, 19*time.Minute)
	f(platformRecord{asked: noon.Add(-time.Minute)}, 9, 79*time.Minute)
	f(platformRecord{asked: noon.Add(24 * time.Hour)}, 0, 0) // by a clock that was wrong
	f(platformRecord{tickets: []ticket{{received: noon.Add(-5 * time.Minute)}}}, 0, 20*time.Minute)
	f(platformRecord{tickets: []ticket{{received: noon.Add(-time.Hour)}}}, 0, 0)
}

func TestChinaMidnight(t *testing.T) {
	if got := chinaMidnight(noon); !got.Equal(noon.Add(12 * time.Hour)) {
		t.Errorf("noon in China: the day ends %s", got)
	}
	if got := chinaMidnight(noon.Add(12 * time.Hour)); !got.Equal(noon.Add(36 * time.Hour)) {
		t.Errorf("midnight in China: the day ends %s", got)
	}
}

func TestBreaker(t *testing.T) {
	var b breaker
	key := func(s string) Key { return Key{Kind: KindAuthorizer, AppID: s} }
	b.note(key("a"), noon)
	b.note(key("a"), noon)
	b.note(key("b"), noon.Add(11*time.Minute))
	b.note(key("c"), noon.Add(12*time.Minute))
	if !b.allow(noon.Add(12*time.Minute), false) {
		t.Error("open after two within ten minutes")
	}
	b.note(key("d"), noon.Add(13*time.Minute))
	if b.allow(noon.Add(14*time.Minute), false) {
		t.Error("closed after three within ten minutes")
	}
	if !b.allow(noon.Add(14*time.Minute+time.Hour), false) || b.allow(noon.Add(15*time.Minute+time.Hour), false) {
		t.Error("not exactly one probe an hour")
	}
	if !b.allow(noon.Add(13*time.Hour), false) {
		t.Error("open on the next day in China")
	}
}

func TestBreaker_TheProbeIsNotForThoseWhoseOwnQuotaIsUsedUp(t *testing.T) {
	var b breaker
	for _, appID := range []string{"a", "b", "c"} {
		b.note(Key{Kind: KindAuthorizer, AppID: appID}, noon)
	}
	if b.allow(noon.Add(time.Hour+time.Minute), true) {
		t.Error("one of the three was let through before others had their turn")
	}
	if !b.allow(noon.Add(time.Hour+time.Minute), false) {
		t.Error("another was not let through")
	}
	if !b.allow(noon.Add(2*time.Hour+12*time.Minute), true) {
		t.Error("where nobody else comes, one of the three must do")
	}
}

func TestRecord_RoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := func(name string) time.Time {
			return moment(rapid.Int64Range(0, 4e12).Draw(rt, name))
		}
		text := func(name string) secret.Text {
			return secret.New(rapid.StringMatching(`[A-Za-z0-9_-]{0,40}`).Draw(rt, name))
		}
		r := record{
			generation: rapid.Uint64Min(1).Draw(rt, "generation"), token: text("token"),
			obtained: at("obtained"), dies: at("dies"), refreshToken: text("refresh"), spare: text("spare"),
			fullLife: time.Hour, authorized: at("authorized"), used: at("used"), judged: at("judged"),
			verdict: rapid.SampledFrom([]State{StateUnknown, StateUnauthorized, StateNeedsAuthorization}).Draw(rt, "verdict"),
			reason:  "why", errcode: 61023, quotaMet: at("quotaMet"),
		}
		plain, err := r.encode()
		if err != nil {
			rt.Fatal(err)
		}
		got, err := decodeRecord(r.generation, plain)
		if err != nil {
			rt.Fatal(err)
		}
		if !got.token.Equal(r.token) || !got.refreshToken.Equal(r.refreshToken) || !got.spare.Equal(r.spare) ||
			!got.dies.Equal(r.dies) || !got.used.Equal(r.used) || got.verdict != r.verdict || got.errcode != r.errcode || !got.quotaMet.Equal(r.quotaMet) {
			rt.Errorf("a record changed in the store")
		}
	})
}

func TestMerge_NeverReplacesARefreshTokenThatCameLater(t *testing.T) {
	ours := func() *record {
		return &record{generation: 5, refreshToken: secret.New("ours"), authorized: noon, obtained: noon}
	}
	listed := wechat.Authorizer{AppID: "wxa", RefreshToken: secret.New("theirs"), AuthorizedAt: noon}
	r := ours()
	if !r.merge(listed, noon.Add(time.Hour)) || r.refreshToken.Reveal() != "ours" || r.spare.Reveal() != "theirs" {
		t.Error("the list's refresh token is not kept beside ours")
	}
	r = ours()
	r.obtained = noon.Add(2 * time.Hour)
	if r.merge(listed, noon.Add(time.Hour)) {
		t.Error("a list that was asked for before ours came changed the record")
	}
	r = ours()
	again := listed
	again.AuthorizedAt = noon.Add(time.Hour)
	if !r.merge(again, noon.Add(2*time.Hour)) || r.refreshToken.Reveal() != "theirs" {
		t.Error("a new authorization did not replace the refresh token")
	}
	r = ours()
	r.obtained = noon.Add(3 * time.Hour)
	if !r.merge(again, noon.Add(2*time.Hour)) || r.refreshToken.Reveal() != "ours" || r.spare.Reveal() != "theirs" || !r.authorized.Equal(again.AuthorizedAt) {
		t.Error("a new authorization on a list that was asked for before ours came replaced the refresh token, or was lost")
	}
	r = ours()
	r.verdict, r.judged = StateUnauthorized, noon.Add(time.Hour)
	if r.merge(again, noon) {
		t.Error("an authorization that was taken back while the list was read came back")
	}
	r = ours()
	r.verdict = StateNeedsAuthorization
	if !r.merge(listed, noon.Add(time.Hour)) || r.verdict != StateUnknown || r.spare.Reveal() != "theirs" {
		t.Error("a refresh token that was not known when the verdict was given did not lift it")
	}
}
