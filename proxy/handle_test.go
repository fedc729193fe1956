package proxy

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
)

func mustCallers(t testing.TB, list ...Caller) *callers {
	t.Helper()
	c, err := newCallers(list)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHandle_RoundTrip(t *testing.T) {
	keys := handleKeys{[]byte("present"), []byte("previous")}
	c := mustCallers(t, callerOf("shop", "1", "3"), callerOf("till", "2"))
	if len(c.all) != 3 {
		t.Fatalf("%d pairs of a caller and a key, want 3", len(c.all))
	}
	for _, kind := range []broker.Kind{broker.KindComponent, broker.KindAuthorizer, broker.KindAccount} {
		for _, owner := range c.all {
			text := keys.issue(kind, merchant, owner)
			for range 2 { // the second is answered from memory
				h := keys.verify([]byte(text), c)
				if *h != (handle{kind: kind, appid: merchant, caller: owner, genuine: true}) {
					t.Errorf("read(%s) = %+v", text, h)
				}
			}
		}
	}
	open := mustCallers(t)
	f := func(appid string, key int) {
		t.Helper()
		h := keys.verify([]byte(keys[key:].issue(broker.KindAuthorizer, appid, nil)), open)
		if *h != (handle{kind: broker.KindAuthorizer, appid: appid, genuine: true}) {
			t.Errorf("without callers: %+v", h)
		}
	}
	f(merchant, 0)
	f(merchant, 1)
	f("odd_app_id", 1)
}

func TestHandle_Void(t *testing.T) {
	keys := handleKeys{[]byte("present")}
	c := mustCallers(t, callerOf("shop", "1"))
	text := keys.issue(broker.KindAuthorizer, merchant, c.all[0])
	f := func(name, text string, k handleKeys, c *callers) {
		t.Helper()
		if h := k.verify([]byte(text), c); !h.void || h.genuine || h.caller != nil {
			t.Errorf("%s: %q was read as %+v", name, text, h)
		}
	}
	f("another key", text, handleKeys{[]byte("other")}, mustCallers(t, callerOf("shop", "1")))
	f("the caller's key changed", text, keys, mustCallers(t, callerOf("shop", "new")))
	f("the caller was renamed", text, keys, mustCallers(t, callerOf("shop2", "1")))
	f("another caller has the key", text, keys, mustCallers(t, callerOf("shop", "2"), callerOf("till", "1")))
	f("made without callers", keys.issue(broker.KindAuthorizer, merchant, nil), keys, c)
	f("another appid", strings.Replace(text, merchant, merchant2, 1), keys, c)
	f("another kind", strings.Replace(text, "wxs_a_", "wxs_c_", 1), keys, c)
	f("no kind", strings.Replace(text, "wxs_a_", "wxs_z_", 1), keys, c)
	f("with a component", strings.Replace(text, merchant, merchant+"_"+component, 1), keys, c)
	f("with a component under our MAC", keys.issue(broker.KindAuthorizer, merchant+"_"+component, c.all[0]), keys, c)
	for i := len(handlePrefix); i < len(text); i++ {
		f("cut short", text[:i], keys, c)
	}
	f("longer", text+"A", keys, c)
	for i := len(text) - macText; i < len(text); i++ {
		other := byte('A')
		if text[i] == other {
			other = 'B'
		}
		f("a changed MAC", text[:i]+string(other)+text[i+1:], keys, c)
	}
}

// Without callers a handle proves no more than a header would: whatever its MAC, it
// names its account.
func TestHandle_NamesItsAccountWithoutCallers(t *testing.T) {
	keys, open := handleKeys{[]byte("present")}, mustCallers(t)
	shop := mustCallers(t, callerOf("shop", "1")).all[0]
	text := keys.issue(broker.KindAuthorizer, merchant, shop)
	names := func(what, text string, k handleKeys) {
		t.Helper()
		if h := k.verify([]byte(text), open); *h != (handle{kind: broker.KindAuthorizer, appid: merchant}) {
			t.Errorf("%s: %q was read as %+v", what, text, h)
		}
	}
	names("callers were taken away", text, keys)
	names("another key", text, handleKeys{[]byte("other")})
	names("a MAC of another length", text[:len(text)-3], keys)
	names("a longer MAC", text+"AAA", keys)
	names("a short MAC", "wxs_a_"+merchant+"_AAAA", keys)
	names("no MAC", "wxs_a_"+merchant+"_", keys)
	names("with a component", "wxs_a_"+merchant+"_"+component+"_"+text[len(text)-macText:], keys)
	names("with a component and a short MAC", "wxs_a_"+merchant+"_"+component+"_AAAA", keys)
	void := func(text string) {
		t.Helper()
		if h := keys.verify([]byte(text), open); *h != (handle{void: true}) {
			t.Errorf("%q was read as %+v", text, h)
		}
	}
	for _, text := range []string{"", "a", "a_", "a__", "a_" + merchant, "z_" + merchant + "_AAAA", "_" + merchant + "_AAAA", merchant, "a_a b_AAAA", "a_\x00_AAAA"} {
		void("wxs_" + text)
	}
}

func FuzzHandle(f *testing.F) {
	keys := handleKeys{[]byte("present")}
	open, closed := mustCallers(f), mustCallers(f, callerOf("shop", "1"))
	f.Add([]byte("wxs_a_" + merchant + "_AAAA"))
	f.Add([]byte("wxs_a_" + merchant + "_" + component + "_AAAA"))
	f.Add([]byte(keys.issue(broker.KindAuthorizer, merchant, nil)))
	f.Add([]byte("wxs_"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h := keys.verify(bytes.Clone(text), open)
		if h.genuine && keys.issue(h.kind, h.appid, nil) != string(text) {
			t.Errorf("%q was read as %+v", text, h)
		}
		if h.void != (h.appid == "") || h.appid != "" && !plausibleAppID(h.appid) {
			t.Errorf("%q was read as %+v", text, h)
		}
		if h := keys.verify(bytes.Clone(text), closed); !h.void {
			t.Errorf("with callers %q was read as %+v", text, h)
		}
	})
}

// What is remembered of handles does not grow without end.
func TestHandle_CacheIsBounded(t *testing.T) {
	var c handleCache
	for i := range maxHandles + 10 {
		c.put(strconv.Itoa(i), &handle{})
	}
	if len(c.m) > maxHandles || c.get([]byte(strconv.Itoa(maxHandles+9))) == nil {
		t.Errorf("%d handles, the newest among them: %v", len(c.m), c.get([]byte(strconv.Itoa(maxHandles+9))) != nil)
	}
}
