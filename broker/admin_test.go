package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// listAll reads all pages of a query, and checks that none shows a secret.
func (w *world) listAll(q broker.AccountQuery) (all []broker.AccountStatus) {
	w.t.Helper()
	for {
		page, err := w.broker.Admin().Accounts(context.Background(), q)
		if err != nil || page.StoreError != "" {
			w.t.Fatalf("%+v: %v %s", q, err, page.StoreError)
		}
		w.wantSecretless(page)
		all = append(all, page.Accounts...)
		if page.Next == "" {
			return all
		}
		q.After = page.Next
	}
}

func (w *world) wantSecretless(shown any) {
	w.t.Helper()
	text, err := json.Marshal(shown)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range w.sim.Secrets() {
		if strings.Contains(string(text), s) {
			w.t.Errorf("a secret of %d characters is shown", len(s))
		}
	}
}

// appIDs returns the appids, joined.
func appIDs(all []broker.AccountStatus) string {
	var ids []string
	for _, s := range all {
		ids = append(ids, s.AppID)
	}
	return strings.Join(ids, " ")
}

func TestAdmin_AccountsInPages(t *testing.T) {
	inWorld(t, worldOptions{merchants: 7, own: true}, func(w *world) {
		w.ticket()
		synctest.Wait() // the list is read
		w.mustCall(authorizerKey(merchant(3)))
		want := ownID
		for i := range 7 {
			want += " " + merchant(i)
		}
		for _, limit := range []int{1, 2, 3, 7, 8, 500} {
			all := w.listAll(broker.AccountQuery{Limit: limit})
			if got := appIDs(all); got != want {
				t.Errorf("limit %d: %s", limit, got)
			}
			if len(all) == 8 && (all[4].State != "live" || !all[4].InUse || all[4].ExpiresAt == nil || all[4].AuthorizedAt == nil || all[4].NextRenewal == nil) {
				t.Errorf("limit %d: %+v", limit, all[4])
			}
		}
		f := func(q broker.AccountQuery, want ...string) {
			t.Helper()
			if got := appIDs(w.listAll(q)); got != strings.Join(want, " ") {
				t.Errorf("%+v: %s, want %s", q, got, want)
			}
		}
		f(broker.AccountQuery{Search: merchant(5)}, merchant(5))
		f(broker.AccountQuery{Search: merchant(5)[3:]}, merchant(5))
		f(broker.AccountQuery{Search: "wxb"})
		f(broker.AccountQuery{Kind: "account"}, ownID)
		f(broker.AccountQuery{Component: componentID, Search: "06"}, merchant(6))
		f(broker.AccountQuery{Component: "wx00c0de0000000000"})
		f(broker.AccountQuery{State: "misconfigured"})
	})
}

// A state is found whether memory knows it or only the store.
func TestAdmin_AccountsByState(t *testing.T) {
	inWorld(t, worldOptions{merchants: 5}, func(w *world) {
		w.ticket()
		synctest.Wait()
		for i := range 5 {
			w.mustCall(authorizerKey(merchant(i)))
		}
		w.sim.Revoke(componentID, merchant(1))
		w.revoke(merchant(1), time.Now())
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 61004})
		w.broker.Renew(authorizerKey(merchant(2)))
		synctest.Wait()
		f := func(state string, want ...string) {
			t.Helper()
			if got := appIDs(w.listAll(broker.AccountQuery{State: state, Limit: 1})); got != strings.Join(want, " ") {
				t.Errorf("%s: %q, want %q", state, got, want)
			}
		}
		f("live", merchant(0), merchant(2), merchant(3), merchant(4))
		f("unauthorized", merchant(1))
		f(broker.AnyTrouble, merchant(1), merchant(2))
		time.Sleep(5 * time.Hour)
		w.restart() // what was taken back, and nobody calls, is in use no longer
		f("unauthorized", merchant(1))
		if all := w.listAll(broker.AccountQuery{State: "unauthorized"}); len(all) != 1 || all[0].InUse || all[0].Trouble == nil || !strings.Contains(all[0].Reason, "authorise again") {
			t.Errorf("%+v", all)
		}
		f("unknown", merchant(0), merchant(2), merchant(3), merchant(4))
		if n := w.broker.InUse(); n != 1 {
			t.Errorf("%d keys are in use", n)
		}
	})
}

func TestAdmin_AccountsRefusesBadQueries(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		for _, q := range []broker.AccountQuery{{Limit: -1}, {Limit: 501}, {State: "dead"}, {Kind: "component"}, {After: "x"}} {
			if _, err := w.broker.Admin().Accounts(context.Background(), q); !errors.Is(err, broker.ErrBadQuery) {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}

// Without the store those in use are listed.
func TestAdmin_AccountsWithoutTheStore(t *testing.T) {
	var down atomic.Bool
	s := memstore.New(memstore.Options{Wait: func(context.Context) error {
		if down.Load() {
			return errors.New("the disk is gone")
		}
		return nil
	}})
	inWorld(t, worldOptions{merchants: 3, store: s}, func(w *world) {
		w.ticket()
		synctest.Wait()
		w.mustCall(authorizerKey(merchant(1)))
		down.Store(true)
		defer down.Store(false)
		page, err := w.broker.Admin().Accounts(context.Background(), broker.AccountQuery{})
		if err != nil || !strings.Contains(page.StoreError, "the disk is gone") || !strings.Contains(appIDs(page.Accounts), merchant(1)) {
			t.Errorf("%+v, %v", page, err)
		}
		if err := w.broker.Admin().CheckStore(context.Background()); err == nil {
			t.Error("the store is said to be well")
		}
		if all, err := w.broker.Admin().AccountsOf(context.Background(), merchant(1)); err != nil || len(all) != 1 {
			t.Errorf("%+v, %v", all, err)
		}
		if _, err := w.broker.Admin().AccountsOf(context.Background(), merchant(9)); err == nil || errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("an account that the store may know: %v", err)
		}
	})
}

// What the store did not take is listed in its place.
func TestAdmin_AccountsThatAreUnsaved(t *testing.T) {
	var full atomic.Bool
	s := memstore.New(memstore.Options{FailPut: func([]store.Write) error {
		if full.Load() {
			return errors.New("no space left")
		}
		return nil
	}})
	inWorld(t, worldOptions{merchants: 2, store: s}, func(w *world) {
		w.ticket()
		synctest.Wait()
		full.Store(true)
		w.sim.AddAuthorizer(componentID, merchant(2))
		w.broker.Reconcile(componentID)
		synctest.Wait()
		for _, limit := range []int{1, 2, 500} {
			all := w.listAll(broker.AccountQuery{Limit: limit})
			if got := appIDs(all); got != merchant(0)+" "+merchant(1)+" "+merchant(2) || !all[2].Unsaved {
				t.Errorf("limit %d: %+v", limit, all)
			}
		}
		if n := w.broker.Admin().Unsaved(); n == 0 {
			t.Error("nothing is said to be unsaved")
		}
		full.Store(false)
		time.Sleep(time.Minute)
	})
}

func TestAdmin_AccountsOf(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2, own: true}, func(w *world) {
		w.ticket()
		synctest.Wait()
		account := broker.Account{AppID: merchant(0), Kind: broker.KindAuthorizer, Component: componentID}
		w.mustHave(account.TicketKey(broker.KindJSAPITicket))
		all, err := w.broker.Admin().AccountsOf(context.Background(), merchant(0))
		if err != nil || len(all) != 1 || all[0].Component != componentID || len(all[0].Tickets) != 1 || all[0].Tickets[0].Kind != "jsapi_ticket" {
			t.Errorf("%+v, %v", all, err)
		}
		w.wantSecretless(all)
		if all, err := w.broker.Admin().AccountsOf(context.Background(), ownID); err != nil || len(all) != 1 || all[0].Kind != "account" || all[0].State != "live" {
			t.Errorf("%+v, %v", all, err)
		}
		if _, err := w.broker.Admin().AccountsOf(context.Background(), merchant(7)); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("%v", err)
		}
	})
}

// Renew waits for its outcome, and says it.
func TestAdmin_Renew(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2}, func(w *world) {
		w.ticket()
		synctest.Wait()
		key := authorizerKey(merchant(0))
		first, ended, err := w.broker.Admin().Renew(context.Background(), key)
		if err != nil || !ended || first.State != "live" {
			t.Fatalf("%+v, %t, %v", first, ended, err)
		}
		second, ended, err := w.broker.Admin().Renew(context.Background(), key)
		if err != nil || !ended || second.Generation <= first.Generation {
			t.Errorf("%+v, %t, %v", second, ended, err)
		}
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 61004})
		third, ended, err := w.broker.Admin().Renew(context.Background(), key)
		if err != nil || !ended || third.Generation != second.Generation || third.Trouble == nil || third.Trouble.Errcode != 61004 {
			t.Errorf("%+v, %t, %v", third, ended, err)
		}
		w.sim.ClearFaults()
		w.sim.Fault(authorizerPath, wechattest.Fault{Mode: wechattest.Hang})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if s, ended, err := w.broker.Admin().Renew(ctx, key); ended || err != nil || !s.Renewing {
			t.Errorf("%+v, %t, %v", s, ended, err)
		}
		w.sim.ClearFaults()
		if _, _, err := w.broker.Admin().Renew(context.Background(), authorizerKey(merchant(9))); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("%v", err)
		}
	})
}

// What is forgotten loses its tokens, and is renewed no more. It comes back with its next
// call if WeChat still has the authorization.
func TestAdmin_Forget(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2, own: true}, func(w *world) {
		w.ticket()
		synctest.Wait()
		key := authorizerKey(merchant(0))
		account := broker.Account{AppID: merchant(0), Kind: broker.KindAuthorizer, Component: componentID}
		w.mustHave(account.TicketKey(broker.KindJSAPITicket))
		inUse := w.broker.InUse()
		calls := w.sim.Calls(authorizerPath)
		if err := w.broker.Admin().Forget(context.Background(), key); err != nil {
			t.Fatal(err)
		}
		if n := inUse - w.broker.InUse(); n != 2 {
			t.Errorf("%d keys were dropped, want the account's and its ticket's", n)
		}
		all, err := w.broker.Admin().AccountsOf(context.Background(), merchant(0))
		if err != nil || len(all) != 1 || all[0].State != "unauthorized" || all[0].InUse || !strings.Contains(all[0].Reason, "an operator had it forgotten; if it is still in force") {
			t.Errorf("%+v, %v", all, err)
		}
		time.Sleep(3 * time.Hour)
		if n := w.sim.Calls(authorizerPath) - calls; n != 0 {
			t.Errorf("%d renewals of what was forgotten", n)
		}
		w.mustCall(key) // WeChat has it
		w.sim.Revoke(componentID, merchant(0))
		if err := w.broker.Admin().Forget(context.Background(), key); err != nil {
			t.Fatal(err)
		}
		w.mustFail(key, broker.StateUnauthorized)
		for _, other := range []broker.Key{ownKey, platformKey} {
			if err := w.broker.Admin().Forget(context.Background(), other); err == nil {
				t.Errorf("%s can be forgotten", other)
			}
		}
		if err := w.broker.Admin().Forget(context.Background(), authorizerKey(merchant(5))); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("%v", err)
		}
	})
}

// A refresh token that WeChat has on record is learned from its answer.
func TestAdmin_ReconcileAccount(t *testing.T) {
	inWorld(t, worldOptions{merchants: 1}, func(w *world) {
		w.ticket()
		synctest.Wait()
		key := authorizerKey(merchant(0))
		w.mustCall(key)
		before := w.sim.Calls("/cgi-bin/component/api_get_authorizer_info")
		if err := w.broker.Admin().ReconcileAccount(context.Background(), key); err != nil {
			t.Error(err)
		}
		if n := w.sim.Calls("/cgi-bin/component/api_get_authorizer_info") - before; n != 1 {
			t.Errorf("WeChat was asked %d times", n)
		}
		if err := w.broker.Admin().ReconcileAccount(context.Background(), ownKey); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("%v", err)
		}
		w.sim.Revoke(componentID, merchant(0))
		if err := w.broker.Admin().ReconcileAccount(context.Background(), key); err == nil || !strings.Contains(err.Error(), "61003") {
			t.Errorf("%v", err)
		}
	})
}

// WeChat is asked for tickets at an operator's word, and not twice in ten minutes.
func TestAdmin_StartTickets(t *testing.T) {
	const path = "/cgi-bin/component/api_start_push_ticket"
	inWorld(t, worldOptions{}, func(w *world) {
		time.Sleep(time.Hour) // asked by itself, as none came
		w.ticket()
		time.Sleep(11 * time.Minute)
		calls := w.sim.Calls(path)
		f := func(wantWait time.Duration, wantCalls int) {
			t.Helper()
			wait, err := w.broker.Admin().StartTickets(context.Background(), componentID)
			synctest.Wait()
			if n := w.sim.Calls(path) - calls; err != nil || wait.Round(time.Minute) != wantWait || n != wantCalls {
				t.Errorf("%s, %v, asked %d times; want %s, %d", wait, err, n, wantWait, wantCalls)
			}
		}
		f(0, 1)
		time.Sleep(time.Minute)
		f(9*time.Minute, 1)
		time.Sleep(9 * time.Minute)
		f(0, 2)
		if c := w.broker.Admin().Components(); len(c) != 1 || c[0].Ticket.AskedAt == nil || !c[0].Ticket.AskedAt.Equal(time.Now().Truncate(time.Second)) {
			t.Errorf("%+v", c)
		}
		if _, err := w.broker.Admin().StartTickets(context.Background(), ownID); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("%v", err)
		}
	})
}

// How the list is read is shown while it is read, and why it broke off.
func TestAdmin_ComponentsShowTheList(t *testing.T) {
	inWorld(t, worldOptions{merchants: 3}, func(w *world) {
		if c := w.broker.Admin().Components(); len(c) != 1 || !c[0].List.Pending || c[0].List.ReadAt != nil || c[0].Ticket.ReceivedAt != nil || !c[0].Ticket.Late(time.Now()) {
			t.Errorf("before the first ticket: %+v", c)
		}
		w.sim.Fault("/cgi-bin/component/api_get_authorizer_list", wechattest.Fault{Errcode: 50000})
		w.ticket()
		synctest.Wait()
		if l := w.broker.Admin().Components()[0].List; !strings.Contains(l.Error, "50000") || l.FailedAt == nil || !l.Pending {
			t.Errorf("after a failure: %+v", l)
		}
		w.sim.ClearFaults()
		time.Sleep(10 * time.Minute)
		l := w.broker.Admin().Components()[0].List
		if l.Error != "" || l.Pending || l.Reading || l.Accounts != 3 || l.ReadAt == nil {
			t.Errorf("at its end: %+v", l)
		}
		if err := w.broker.Admin().Reconcile(componentID); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if again := w.broker.Admin().Components()[0].List; again.Pending || !again.ReadAt.After(*l.ReadAt) {
			t.Errorf("read again: %+v", again)
		}
		if err := w.broker.Admin().Reconcile(ownID); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("%v", err)
		}
		w.restart()
		if again := w.broker.Admin().Components()[0].List; again.Pending || again.ReadAt == nil {
			t.Errorf("after a restart: %+v", again)
		}
	})
}

// The overview groups what has one cause, and names some.
func TestAdmin_Overview(t *testing.T) {
	inWorld(t, worldOptions{merchants: 9, own: true}, func(w *world) {
		w.ticket()
		synctest.Wait()
		for i := range 9 {
			w.mustCall(authorizerKey(merchant(i)))
		}
		w.sim.Fault(authorizerPath, wechattest.Fault{Errcode: 61004})
		for i := range 8 {
			w.broker.Renew(authorizerKey(merchant(i)))
		}
		synctest.Wait()
		o := w.broker.Admin().Overview()
		w.wantSecretless(o)
		if n := o.Counts["authorizer"]["live"]; n != 9 || o.Counts["component"]["live"] != 1 || o.Counts["account"]["live"] != 1 {
			t.Errorf("counts %v", o.Counts)
		}
		if len(o.Troubles) != 1 {
			t.Fatalf("%+v", o.Troubles)
		}
		g := o.Troubles[0]
		want := []string{merchant(0), merchant(1), merchant(2), merchant(3), merchant(4)}
		if g.Count != 8 || g.Hidden != 8 || g.Cause != "misconfigured" || g.Errcode != 61004 || !slices.Equal(g.AppIDs, want) || !strings.Contains(g.Reason, "白名单") || g.Since.IsZero() {
			t.Errorf("%+v", g)
		}
		time.Sleep(3 * time.Hour)
		if g := w.broker.Admin().Overview().Troubles; len(g) != 1 || g[0].Hidden != 0 {
			t.Errorf("without a token: %+v", g)
		}
	})
}

// Those that only wait for their component's token are counted with it, not as troubles.
func TestAdmin_OverviewOfBlockedKeys(t *testing.T) {
	inWorld(t, worldOptions{merchants: 3}, func(w *world) {
		w.ticket()
		synctest.Wait()
		for i := range 3 {
			w.mustCall(authorizerKey(merchant(i)))
		}
		w.sim.Fault("/cgi-bin/component/api_component_token", wechattest.Fault{Errcode: 61004})
		time.Sleep(3 * time.Hour)
		for i := range 3 {
			_, _ = w.call(authorizerKey(merchant(i)))
		}
		o := w.broker.Admin().Overview()
		if o.Blocked[componentID] != 3 || len(o.Troubles) != 0 {
			t.Errorf("blocked %v, troubles %+v", o.Blocked, o.Troubles)
		}
	})
}

func TestAdmin_OverviewNamesTheDisplaced(t *testing.T) {
	inWorld(t, worldOptions{merchants: 2}, func(w *world) {
		w.ticket()
		synctest.Wait()
		w.mustCall(authorizerKey(merchant(0)))
		if d := w.broker.Admin().Overview().Displaced; len(d) != 0 {
			t.Errorf("%v", d)
		}
		for range 9 {
			w.sim.DisplaceAuthorizer(componentID, merchant(1))
			_, _ = w.call(authorizerKey(merchant(1)))
		}
		if d := w.broker.Admin().Overview().Displaced; !slices.Equal(d, []string{authorizerKey(merchant(1)).String()}) {
			t.Errorf("%v", d)
		}
		if all := w.listAll(broker.AccountQuery{Search: merchant(1)}); len(all) != 1 || !all[0].Displaced {
			t.Errorf("%+v", all)
		}
	})
}

// Of many authorizers only as many records are read as a question needs.
func TestAdmin_AccountsOfMany(t *testing.T) {
	c := crowd{n: 20_000, age: func(int) time.Duration { return time.Minute }, idle: time.Minute}
	inCrowd(t, c, func(w *world, _ uint64) {
		synctest.Wait()
		w.mustCall(platformKey)
		lists := func() float64 { return w.metric("wxsidecar_store_operations_total", "op", "list", "result", "ok") }
		f := func(q broker.AccountQuery, want, mostLists int) {
			t.Helper()
			before := lists()
			page, err := w.broker.Admin().Accounts(context.Background(), q)
			if n := int(lists() - before); err != nil || len(page.Accounts) != want || n > mostLists {
				t.Errorf("%+v: %d accounts, %v, %d parts of the store read; want %d, and %d at most", q, len(page.Accounts), err, n, want, mostLists)
			}
		}
		f(broker.AccountQuery{Limit: 500}, 500, 1)
		f(broker.AccountQuery{After: authorizerKey(merchant(10_000)).String(), Limit: 500, State: "live"}, 500, 1)
		f(broker.AccountQuery{Search: merchant(19_999)}, 1, 1)
		f(broker.AccountQuery{State: broker.AnyTrouble}, 0, 0)
		f(broker.AccountQuery{State: "unauthorized"}, 0, 21)
		f(broker.AccountQuery{Search: merchant(19_999)[8:]}, 1, 21)
		if n := w.broker.Admin().Overview().Counts["authorizer"]["live"]; n != c.n {
			t.Errorf("%d live", n)
		}
	})
}
