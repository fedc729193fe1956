package broker_test

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// renamed returns the name of today for an old one.
func (w *oldWorld) renamed(name string) string {
	kind, appID, _ := strings.Cut(name, "/")
	if !slices.Contains([]string{"authorizer", "jsapi_ticket", "wx_card_ticket"}, kind) || appID == ownID {
		return name
	}
	return name + "/" + w.old["authorizer/"+appID].text("component")
}

// keyOf returns the key whose record has that name of today, and false for a record that
// is no key's.
func keyOf(name string) (broker.Key, bool) {
	part := append(strings.Split(name, "/"), "")
	for _, kind := range []broker.Kind{broker.KindComponent, broker.KindAuthorizer, broker.KindAccount, broker.KindJSAPITicket, broker.KindWXCardTicket} {
		if kind.String() == part[0] {
			return broker.Key{Kind: kind, AppID: part[1], Component: part[2]}, true
		}
	}
	return broker.Key{}, false
}

// checkNames checks that the store holds every old record once, under its name of today
// and with all that it held, and that the authorizations in the inbox are done.
func (w *oldWorld) checkNames(st store.Store) {
	w.t.Helper()
	want, got := map[string]content{}, w.contents(st)
	for name, record := range w.old {
		if !strings.HasPrefix(name, "inbox/") && name != "meta/canary" {
			want[w.renamed(name)] = record.withoutComponent()
		}
	}
	for name, record := range got {
		got[name] = record.withoutComponent()
		if _, old := want[name]; !old && strings.HasPrefix(name, "code/"+componentID+"/") {
			delete(got, name) // the exchange of a code from the inbox
		}
	}
	if !strings.HasPrefix(got["meta/canary"].Text, "wxsidecar") {
		w.t.Errorf("meta/canary holds %q", got["meta/canary"].Text)
	}
	delete(got, "meta/canary")
	for _, i := range []int{9, 10} {
		name := authorizerOf(componentID, merchant(i)).String()
		if r := got[name]; r.text("refresh_token") == "" || r.text("verdict") != "" || r.Generation <= want[name].Generation {
			w.t.Errorf("%s, whose authorization was in the inbox, is %+v", name, r)
		}
		delete(want, name)
		delete(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("the store after the start (-want +got):\n%s", diff)
	}
}

// withoutComponent leaves out what the name of today says.
func (c content) withoutComponent() content {
	fields := map[string]any{}
	for name, value := range c.Fields {
		if name != "component" {
			fields[name] = value
		}
	}
	c.Fields = fields
	return c
}

// checkServed checks that every token and ticket of the old store is served.
func (w *oldWorld) checkServed() {
	w.t.Helper()
	served := 0
	for name, record := range w.old {
		key, ok := keyOf(w.renamed(name))
		if !ok || record.text("token") == "" {
			continue
		}
		served++
		token, err := w.broker.Token(context.Background(), key)
		switch {
		case err != nil:
			w.t.Errorf("%s: %v", key, err)
		case token.Value() != record.text("token") || token.Generation != record.Generation || token.Key() != key:
			w.t.Errorf("%s is served %s, which is not the old store's", key, token)
		}
	}
	if served != 14 {
		w.t.Errorf("the old store has %d living tokens, want 14", served)
	}
	if _, err := w.broker.Token(context.Background(), authorizerOf(componentID, merchant(6))); !errors.Is(err, broker.ErrUnknownAccount) {
		w.t.Errorf("merchant 6 is the second component's: the first gets error %v, want that it is unknown", err)
	}
}

// checkAuthorized checks that the merchants whose authorizations were in the inbox have
// tokens that WeChat knows.
func (w *oldWorld) checkAuthorized() {
	w.t.Helper()
	for _, i := range []int{9, 10} {
		token, err := w.broker.Token(context.Background(), authorizerOf(componentID, merchant(i)))
		if err != nil || token.Value() != w.sim.CurrentToken(merchant(i)) {
			w.t.Errorf("merchant %d, whose authorization was in the inbox, gets %v and error %v", i, token, err)
		}
	}
}

// checkRefused checks that verdicts stand.
func (w *oldWorld) checkRefused() {
	w.t.Helper()
	ticket := broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(7), Component: componentID}
	for key, state := range map[broker.Key]broker.State{
		authorizerOf(componentID, merchant(7)):      broker.StateUnauthorized,
		authorizerOf(otherComponentID, merchant(8)): broker.StateNeedsAuthorization,
		ticket: broker.StateUnauthorized,
	} {
		var refused *broker.StateError
		if _, err := w.broker.Token(context.Background(), key); !errors.As(err, &refused) || refused.State != state {
			w.t.Errorf("%s gets error %v, want state %s", key, err, state)
		}
	}
}

// checkIdle checks that an account which was never called is renewed at its first call,
// by the refresh token that it had.
func (w *oldWorld) checkIdle() {
	w.t.Helper()
	w.sim.Forget()
	token, err := w.broker.Token(context.Background(), authorizerOf(otherComponentID, merchant(5)))
	if err != nil || token.Value() != w.sim.CurrentToken(merchant(5)) {
		w.t.Errorf("merchant 5 gets %v and error %v", token, err)
	}
	if all, renewed := w.calls(), w.sim.Calls(authorizerPath); all != 1 || renewed != 1 {
		w.t.Errorf("WeChat was called %d times, %d of them to renew; want one renewal alone", all, renewed)
	}
}

// calls returns how many calls reached WeChat, but for those that carry nothing and only
// look at its clock.
func (w *oldWorld) calls() int { return w.sim.Calls("") - w.sim.Calls("/") }
