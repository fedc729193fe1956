package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

var errPartition = errors.New("no route to the store")

// fleet is several brokers on one store that they share, and one WeChat.
type fleet struct {
	*testing.T
	sim   *wechattest.Server
	base  *memstore.Store
	all   []*world
	views []*memstore.Shared
	// partitioned: a sidecar that is cut off may be given a refresh token that the others
	// cannot know of. They try theirs, which WeChat refuses, and ask for the newer one.
	partitioned bool
}

// inFleet runs f with n brokers of one platform that have started, of which the first was told
// the ticket.
func inFleet(t *testing.T, n int, o worldOptions, f func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fl := &fleet{T: t, base: memstore.New(memstore.Options{})}
		first := newWorld(t, o)
		fl.sim = first.sim
		for i := range n {
			w := first
			if i > 0 {
				w = &world{t: t, sim: first.sim, logs: first.logs, opts: first.opts}
			}
			fl.views = append(fl.views, fl.base.Shared(fmt.Sprint("replica-", i)))
			w.store = fl.views[i]
			w.start()
			fl.all = append(fl.all, w)
		}
		defer fl.check(first)
		defer func() {
			for _, w := range fl.all {
				w.halt()
			}
		}()
		first.ticket()
		pass(time.Second)
		f(fl)
	})
}

// check is the end of every fleet.
func (f *fleet) check(first *world) {
	f.Helper()
	first.checkLogs()
	for _, v := range f.sim.Violations() {
		if !f.partitioned || !strings.Contains(v, "an old refresh token of") {
			f.Errorf("WeChat saw what it never should: %s", v)
		}
	}
}

// calls returns how many calls of a path WeChat has seen.
func (f *fleet) calls(path string) int { return f.sim.Calls(path) }

// agree fails unless all replicas hold the same token of key, without a call to WeChat.
func (f *fleet) agree(key broker.Key) *broker.Token {
	f.Helper()
	synctest.Wait() // for news
	before := f.all[0].tokenCalls()
	var first *broker.Token
	for i, w := range f.all {
		token, err := w.broker.Token(context.Background(), key)
		switch {
		case err != nil:
			f.Fatalf("replica %d: %s: %v", i, key, err)
		case first == nil:
			first = token
		case token.Generation != first.Generation || token.Value() != first.Value():
			f.Errorf("replica %d holds generation %d of %s, the first %d", i, token.Generation, key, first.Generation)
		}
	}
	if n := f.all[0].tokenCalls() - before; n != 0 {
		f.Errorf("%d token calls to agree on %s", n, key)
	}
	return first
}

// A ticket that one replica is pushed serves all, and what one renews the others have at once.
func TestReplicas_OneTicketOneRenewal(t *testing.T) {
	inFleet(t, 4, worldOptions{merchants: 6, own: true, sim: wechattest.Options{RotateRefreshTokens: true}}, func(f *fleet) {
		keys := append(crowd{n: 6}.keys(), ownKey, platformKey)
		for _, key := range keys {
			for _, w := range f.all {
				w.mustCall(key)
			}
			f.agree(key)
		}
		for _, key := range []string{componentID, ownID} {
			roles := map[string]int{}
			for _, w := range f.all {
				for _, s := range w.broker.Status() {
					if s.AppID == key && s.Fence > 0 {
						roles[s.Role]++
					}
				}
			}
			if roles["writer"] != 1 || roles["reader"] != 3 {
				t.Errorf("%s: roles %v, want one writer and three readers", key, roles)
			}
		}
		if n := f.calls(componentPath); n != 1 {
			t.Errorf("%d component tokens at the start, want 1", n)
		}
		if n := f.calls(listPath); n != 1 {
			t.Errorf("the list was read %d times, want once", n)
		}
		if n := f.outside(); n != 0 {
			t.Errorf("%g first tokens count as renewals from outside", n)
		}
	})
}

// outside returns how many renewals from outside all replicas have counted.
func (f *fleet) outside() (n float64) {
	for _, w := range f.all {
		for _, kind := range []string{"component", "account", "authorizer", "ticket"} {
			n += w.metric("wxsidecar_outside_renewals_total", "kind", kind)
		}
	}
	return n
}

// A replica that hears of a new token just when it has begun to fetch one itself fetches none.
func TestReplicas_NewsAmidARenewal(t *testing.T) {
	var begun atomic.Int32
	o := worldOptions{adjust: func(o *broker.Options) {
		o.Checkpoint = func(name string) {
			if name == "renewal-begin" { // one is ahead of the other
				time.Sleep(time.Duration(begun.Add(1)-1) * 300 * time.Millisecond)
			}
		}
	}}
	inFleet(t, 2, o, func(f *fleet) {
		f.agree(platformKey)
		if n := begun.Load(); n < 2 {
			t.Fatalf("%d renewals were begun, want one of each replica", n)
		}
		if n := f.calls(componentPath); n != 1 {
			t.Errorf("%d component tokens were fetched, want 1", n)
		}
	})
}

// Over half a day each token is renewed about as often as one sidecar would.
func TestReplicas_RenewOnceEach(t *testing.T) {
	const merchants, hours = 10, 12
	inFleet(t, 8, worldOptions{merchants: merchants, sim: wechattest.Options{RotateRefreshTokens: true}}, func(f *fleet) {
		keys := crowd{n: merchants}.keys()
		f.live(keys, time.Minute, time.Minute)
		before := f.calls(authorizerPath)
		for range hours * 12 {
			for _, key := range keys {
				for _, w := range f.all {
					w.mustCall(key)
				}
			}
			pass(5 * time.Minute)
			f.pushTicket()
		}
		renewals := float64(f.calls(authorizerPath) - before)
		ideal := merchants * hours / (2 * 0.75)
		if renewals > 1.15*ideal {
			t.Errorf("%.0f renewals, want about %.0f", renewals, ideal)
		}
		if renewals < 0.9*ideal {
			t.Errorf("only %.0f renewals in %d hours", renewals, hours)
		}
	})
}

// pushTicket has WeChat push a ticket to a replica, a different one each time.
func (f *fleet) pushTicket() {
	f.all[0], f.all[len(f.all)-1] = f.all[len(f.all)-1], f.all[0]
	f.all[0].ticket()
}

// live has every replica call every key each step for d, with a ticket every ten minutes, and
// fails for each call that does.
func (f *fleet) live(keys []broker.Key, d, step time.Duration) {
	f.Helper()
	ticket := time.Now()
	for end := time.Now().Add(d); time.Now().Before(end); pass(step) {
		if time.Since(ticket) >= 10*time.Minute {
			f.pushTicket()
			ticket = time.Now()
		}
		for _, key := range keys {
			for i, w := range f.all {
				if code, err := w.call(key); code != 0 || err != nil {
					f.Errorf("replica %d: call of %s: errcode %d, %v", i, key, code, err)
				}
			}
		}
	}
}

// rotating is a WeChat that gives a new refresh token with each access token, and refuses the
// old one.
var rotating = wechattest.Options{RotateRefreshTokens: true}

// A merchant who takes the authorization back, or authorises, at one replica has done so at all.
func TestReplicas_ShareVerdicts(t *testing.T) {
	inFleet(t, 3, worldOptions{merchants: 2, sim: rotating}, func(f *fleet) {
		key, fresh := authorizerKey(merchant(0)), authorizerKey(merchant(7))
		f.live([]broker.Key{key}, time.Minute, time.Minute)
		f.sim.Revoke(componentID, merchant(0))
		f.all[1].revoke(merchant(0), time.Now())
		synctest.Wait()
		for _, w := range f.all {
			if _, err := w.broker.Token(context.Background(), key); err == nil {
				t.Error("a token is served that the merchant took back")
			}
		}
		for _, w := range f.all { // nobody knows this one yet
			if _, err := w.broker.Account(context.Background(), merchant(7), broker.Choice{}); !errors.Is(err, broker.ErrUnknownAccount) {
				t.Errorf("before: %v", err)
			}
		}
		f.sim.Fault(queryAuthPath, wechattest.Fault{Latency: time.Second})
		f.all[2].authorize(merchant(7))
		f.all[1].authorize(merchant(0))
		synctest.Wait()
		for i, w := range f.all {
			if !w.broker.AuthorizationPending(componentID, merchant(7)) || !w.broker.AuthorizationPending(componentID, merchant(0)) {
				t.Errorf("replica %d does not know that an authorization is being exchanged", i)
			}
		}
		pass(5 * time.Second)
		f.sim.ClearFaults()
		for i, w := range f.all {
			if w.broker.AuthorizationPending(componentID, merchant(7)) || w.broker.AuthorizationPending(componentID, merchant(0)) {
				t.Errorf("replica %d still waits for what was exchanged", i)
			}
			w.mustCall(fresh)
			w.mustCall(key)
		}
		f.agree(key)
		f.agree(fresh)
		if n := f.sim.Calls(queryAuthPath); n != 2 {
			t.Errorf("%d exchanges of 2 codes", n)
		}
	})
}

// A code that an app exchanges at one replica and the event brings to another is exchanged once.
func TestReplicas_OneExchangeOfACode(t *testing.T) {
	inFleet(t, 4, worldOptions{sim: rotating}, func(f *fleet) {
		f.sim.AddAuthorizer(componentID, merchant(3))
		code := f.sim.Authorize(componentID, merchant(3))
		f.sim.Fault(queryAuthPath, wechattest.Fault{Latency: 2 * time.Second})
		var answers [4]string
		done := make(chan struct{})
		for i, w := range f.all {
			go func() {
				defer func() { done <- struct{}{} }()
				if i == 0 {
					w.mustPush(authorized(merchant(3), code))
					return
				}
				answer, err := w.broker.QueryAuth(context.Background(), componentID, secret.New(code))
				if err != nil {
					t.Errorf("replica %d: %v", i, err)
				}
				answers[i] = string(answer)
			}()
		}
		for range f.all {
			<-done
		}
		if n := f.sim.Calls(queryAuthPath); n != 1 {
			t.Errorf("%d exchanges of one code", n)
		}
		if answers[1] == "" || answers[1] != answers[2] || answers[2] != answers[3] {
			t.Error("the replicas gave different answers")
		}
		pass(time.Second)
		f.agree(authorizerKey(merchant(3)))
	})
}

// What WeChat rejects is renewed once for all, however many replicas hear of it, and what
// rejections may force is one budget.
func TestReplicas_OneForcedRenewal(t *testing.T) {
	inFleet(t, 6, worldOptions{merchants: 1, sim: rotating}, func(f *fleet) {
		key := authorizerKey(merchant(0))
		f.live([]broker.Key{key}, 2*time.Minute, time.Minute)
		before := f.calls(authorizerPath)
		f.sim.Displace(merchant(0))
		done := make(chan struct{})
		for _, w := range f.all {
			go func() { w.mustCall(key); done <- struct{}{} }()
		}
		for range f.all {
			<-done
		}
		if n := f.calls(authorizerPath) - before; n != 1 {
			t.Errorf("%d renewals of one displaced token", n)
		}
		f.agree(key)
		before = f.calls(authorizerPath)
		for range 40 { // somebody outside renews each second
			f.sim.Displace(merchant(0))
			for _, w := range f.all {
				_, _ = w.call(key)
			}
			pass(time.Second)
		}
		if n := f.calls(authorizerPath) - before; n > 12 { // without one budget for all they would be 42
			t.Errorf("%d renewals were forced in 40 seconds, want about the 7 that one sidecar makes", n)
		}
		if f.outside() == 0 {
			t.Error("no metric names the renewals from outside")
		}
		if !strings.Contains(f.all[0].logs.String(), "a second sidecar with a store of its own") {
			t.Error("no line names the likely cause")
		}
	})
}

// A replica that holds a lease and dies costs the others the lease, and a moment more.
func TestReplicas_HolderDies(t *testing.T) {
	inFleet(t, 3, worldOptions{merchants: 1, sim: rotating}, func(f *fleet) {
		key := authorizerKey(merchant(0))
		f.live([]broker.Key{key}, time.Minute, time.Minute)
		dead := f.base.Shared("dead")
		if _, err := dead.Lock(context.Background(), key.String(), store.LeaseOptions{For: 20 * time.Second}); err != nil {
			t.Fatal(err)
		}
		f.sim.Displace(merchant(0))
		began := time.Now()
		for time.Since(began) < time.Minute {
			if code, err := f.all[1].call(key); code == 0 && err == nil {
				break
			}
			pass(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 19*time.Second || took > 25*time.Second {
			t.Errorf("renewed after %s; want that after the lease of 20 seconds, and before 25", took)
		}
		f.agree(key)
	})
}

// Redis is away for half a token's life, at every phase of it: no app sees it.
func TestReplicas_StoreAwayForHalfALife(t *testing.T) {
	const merchants = 12
	inFleet(t, 3, worldOptions{merchants: merchants, own: true, sim: rotating}, func(f *fleet) {
		f.partitioned = true // what one was given alone the others may not know of yet when the store is back
		keys := append(crowd{n: merchants}.keys(), ownKey, platformKey)
		for range 6 {
			f.live(keys, 53*time.Minute, time.Minute)
			for _, v := range f.views {
				v.Down(errPartition)
			}
			synctest.Wait()
			if s, ok := f.all[0].broker.Coordination(); !ok || s.State != "degraded" || s.Error == "" || s.Since == nil {
				t.Errorf("coordination while the store is away: %+v", s)
			}
			f.liveWithoutTickets(keys, time.Hour, time.Minute)
			for _, v := range f.views {
				v.Down(nil)
			}
			f.live(keys, 5*time.Minute, time.Minute)
			if s, _ := f.all[0].broker.Coordination(); s.State != "ok" || s.Refused != "" || s.OtherSeen == nil || time.Since(*s.OtherSeen) > 2*time.Hour {
				t.Errorf("coordination after its return: %+v", s)
			}
			for _, key := range keys {
				f.agree(key)
			}
		}
	})
}

// liveWithoutTickets is live, and each push of a ticket must fail, so that WeChat sends it again.
func (f *fleet) liveWithoutTickets(keys []broker.Key, d, step time.Duration) {
	f.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		err := f.all[0].broker.HandlePush(context.Background(), wechat.Push{
			ID: "t" + time.Now().String(), Component: componentID, InfoType: wechat.InfoTicket,
			CreateTime: time.Now(), Ticket: secret.New(f.sim.NewTicket(componentID)),
		})
		if err == nil {
			f.Error("a ticket was acknowledged that nobody can have kept")
		}
		f.live(keys, min(9*time.Minute, time.Until(end)), step)
	}
}

// The store is emptied: what is in memory comes back, and the rest from WeChat.
func TestReplicas_StoreEmptied(t *testing.T) {
	inFleet(t, 3, worldOptions{merchants: 4, own: true, sim: rotating}, func(f *fleet) {
		keys := append(crowd{n: 3}.keys(), ownKey, platformKey) // the fourth is in use nowhere
		f.live(keys, time.Minute, time.Minute)
		held := map[broker.Key]*broker.Token{}
		for _, key := range keys {
			held[key] = f.agree(key)
		}
		f.base.Empty()
		pass(5 * time.Second)
		for _, key := range keys {
			if got := f.agree(key); got.Value() != held[key].Value() {
				t.Errorf("%s was renewed", key)
			}
		}
		late := &world{t: t, sim: f.sim, logs: f.all[0].logs, opts: f.all[0].opts, store: f.base.Shared("late")}
		late.start()
		f.all = append(f.all, late)
		for _, key := range append(keys, authorizerKey(merchant(3))) {
			late.mustCall(key)
		}
		for _, key := range keys {
			f.agree(key)
		}
	})
}

// While the store is away a key whose token lives is looked at when it may be renewed all the
// same, and takes no turn before from keys that are nearer to their end.
func TestReplicas_StoreAwayAsksRarely(t *testing.T) {
	const merchants = 10
	inFleet(t, 2, worldOptions{merchants: merchants, sim: rotating}, func(f *fleet) {
		f.partitioned = true
		keys := append(crowd{n: merchants}.keys(), platformKey)
		f.live(keys, 80*time.Minute, time.Minute) // nearly due
		away := func() (n float64) {
			for _, w := range f.all {
				n += w.metric("wxsidecar_renewals_total", "result", "store_away")
			}
			return n
		}
		before := away()
		for _, v := range f.views {
			v.Down(errPartition)
		}
		f.liveWithoutTickets(keys, 29*time.Minute, time.Minute)
		if n, most := away()-before, float64(2*3*len(keys)); n == 0 || n > most {
			t.Errorf("%.0f renewals were put off in half an hour, want one or two of each key at each replica", n)
		}
		for _, v := range f.views {
			v.Down(nil)
		}
		f.live(keys, 5*time.Minute, time.Minute)
	})
}
