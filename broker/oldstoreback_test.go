package broker_test

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// TestOldStore_WhatAnEarlierVersionWroteInBetween goes back to an earlier version and
// forward again. That version finds none of the names of today and begins anew under its
// own: a merchant who authorised meanwhile stands there alone, one that it renewed has a
// younger token there, and the rest are old. The younger counts, and no old name is left.
func TestOldStore_WhatAnEarlierVersionWroteInBetween(t *testing.T) {
	file := copyOldStore(t)
	inOldStore(t, func(w *oldWorld) {
		st := w.open(file)
		w.mustStart(st)
		w.halt()
		pass(time.Minute)
		w.writeAsBefore(st, merchant(11), "a-token-of-the-earlier-version-11", time.Now())
		w.writeAsBefore(st, merchant(1), "a-token-of-the-earlier-version-1", time.Now())
		w.writeAsBefore(st, merchant(2), "a-token-from-long-ago", time.Now().Add(-time.Hour))
		pass(time.Minute)
		w.mustStart(st)
		for i, want := range map[int]string{
			11: "a-token-of-the-earlier-version-11",
			1:  "a-token-of-the-earlier-version-1",
			2:  w.old["authorizer/"+merchant(2)].text("token"),
		} {
			token, err := w.broker.Token(context.Background(), authorizerOf(componentID, merchant(i)))
			switch {
			case err != nil:
				t.Errorf("merchant %d: %v", i, err)
			case token.Value() != want || i == 1 && token.Generation <= w.old["authorizer/"+merchant(1)].Generation:
				t.Errorf("merchant %d is served %s, which is not the younger token", i, token)
			}
		}
		for name := range w.contents(st) {
			if strings.HasPrefix(name, "authorizer/") && strings.Count(name, "/") != 2 {
				t.Errorf("%s still has its old name", name)
			}
		}
	})
}

// writeAsBefore puts a record of an authorizer of the first component into the store as
// the earlier version does.
func (w *oldWorld) writeAsBefore(st store.Store, appID, token string, obtained time.Time) {
	w.t.Helper()
	fields := maps.Clone(w.old["authorizer/"+merchant(1)].Fields)
	fields["token"], fields["obtained"], fields["dies"] = token, obtained.UnixMilli(), obtained.Add(2*time.Hour).UnixMilli()
	name := broker.Key{Kind: broker.KindAuthorizer, AppID: appID}.String()
	sealed := w.ring.Seal(name, 1, must(json.Marshal(fields)))
	err := st.Put(context.Background(), store.Write{Name: name, Record: store.Record{Generation: 1, Sealed: sealed}})
	if err != nil {
		w.t.Fatal(err)
	}
}
