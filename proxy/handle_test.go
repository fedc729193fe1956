package proxy

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

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

func componentKey(appid string) broker.Key {
	return broker.Key{Kind: broker.KindComponent, AppID: appid}
}

func TestHandle_RoundTrip(t *testing.T) {
	keys := handleKeys{[]byte("present"), []byte("previous")}
	c := mustCallers(t, callerOf("shop", "1", "3"), callerOf("till", "2"))
	if len(c.all) != 3 {
		t.Fatalf("%d pairs of a caller and a key, want 3", len(c.all))
	}
	ofOther := broker.Key{Kind: broker.KindAuthorizer, AppID: merchant, Component: component2}
	earlier := broker.Key{Kind: broker.KindAuthorizer, AppID: merchant} // as an earlier version issued them
	for key, begin := range map[broker.Key]string{
		componentKey(component):                "wxs_c_" + component + "_",
		{Kind: broker.KindAccount, AppID: own}: "wxs_o_" + own + "_",
		authorizerKey(merchant):                "wxs_a_" + merchant + "_" + component + "_",
		ofOther:                                "wxs_a_" + merchant + "_" + component2 + "_",
		earlier:                                "wxs_a_" + merchant + "_",
	} {
		for _, owner := range c.all {
			text := keys.issue(key, owner)
			if !strings.HasPrefix(text, begin) || len(text) != len(begin)+macText {
				t.Errorf("the handle of %s is %s", key, text)
			}
			of := newSlot(key.AppID, nil)
			c.handles.put([]byte(text), keys.verify([]byte(text), c, nil), of)
			kept, found := c.handles.get([]byte(text))
			if found != of {
				t.Errorf("%s is kept with the slot of %v", text, found)
			}
			for _, h := range []*handle{keys.verify([]byte(text), c, nil), kept} {
				if !h.says(handleOf(key, owner, true)) {
					t.Errorf("verify(%s) = %+v", text, h)
				}
			}
		}
	}
	open := mustCallers(t)
	f := func(appid string, key int) {
		t.Helper()
		h := keys.verify([]byte(keys[key:].issue(authorizerKey(appid), nil)), open, nil)
		if !h.says(handleOf(authorizerKey(appid), nil, true)) {
			t.Errorf("without callers: %+v", h)
		}
	}
	f(merchant, 0)
	f(merchant, 1)
	f("odd_app_id", 1)
}

// A handle that an earlier version issued is as it was: its text is of that version.
func TestHandle_OfAnEarlierVersion(t *testing.T) {
	const text = "wxs_a_wx00000000000000a1_J2JNuQV3pCucjq3Gxgm3hDe1KWQYJJdJ"
	keys := handleKeys{[]byte("present")}
	h := keys.verify([]byte(text), mustCallers(t, callerOf("shop", "1")), nil)
	if h.void || !h.genuine || h.key() != (broker.Key{Kind: broker.KindAuthorizer, AppID: merchant}) {
		t.Errorf("%+v", h)
	}
}

func TestHandle_Void(t *testing.T) {
	keys := handleKeys{[]byte("present")}
	c := mustCallers(t, callerOf("shop", "1"))
	text := keys.issue(authorizerKey(merchant), c.all[0])
	f := func(name, text string, k handleKeys, c *callers) {
		t.Helper()
		if h := k.verify([]byte(text), c, nil); !h.void || h.genuine || h.caller != nil {
			t.Errorf("%s: %q was read as %+v", name, text, h)
		}
	}
	f("another key", text, handleKeys{[]byte("other")}, mustCallers(t, callerOf("shop", "1")))
	f("the caller's key changed", text, keys, mustCallers(t, callerOf("shop", "new")))
	f("the caller was renamed", text, keys, mustCallers(t, callerOf("shop2", "1")))
	f("another caller has the key", text, keys, mustCallers(t, callerOf("shop", "2"), callerOf("till", "1")))
	f("made without callers", keys.issue(authorizerKey(merchant), nil), keys, c)
	f("another appid", strings.Replace(text, merchant, merchant2, 1), keys, c)
	f("another kind", strings.Replace(text, "wxs_a_", "wxs_c_", 1), keys, c)
	f("no kind", strings.Replace(text, "wxs_a_", "wxs_z_", 1), keys, c)
	f("another component", strings.Replace(text, component, component2, 1), keys, c)
	f("without its component", strings.Replace(text, "_"+component, "", 1), keys, c)
	f("the two exchanged", strings.Replace(text, merchant+"_"+component, component+"_"+merchant, 1), keys, c)
	f("a component put in", strings.Replace(keys.issue(broker.Key{Kind: broker.KindAuthorizer, AppID: merchant}, c.all[0]), merchant, merchant+"_"+component, 1), keys, c)
	f("a component's with a component", strings.Replace(keys.issue(componentKey(component), c.all[0]), component, component+"_"+component2, 1), keys, c)
	f("the appid holds the component", keys.issue(broker.Key{Kind: broker.KindAuthorizer, AppID: merchant + "_" + component}, c.all[0]), keys, c)
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
	text := keys.issue(authorizerKey(merchant), shop)
	names := func(what, text string, k handleKeys, key broker.Key) {
		t.Helper()
		if h := k.verify([]byte(text), open, nil); !h.says(handleOf(key, nil, false)) {
			t.Errorf("%s: %q was read as %+v", what, text, h)
		}
	}
	both, alone := authorizerKey(merchant), broker.Key{Kind: broker.KindAuthorizer, AppID: merchant}
	names("callers were taken away", text, keys, both)
	names("another key", text, handleKeys{[]byte("other")}, both)
	names("a MAC of another length", text[:len(text)-3], keys, both)
	names("a longer MAC", text+"AAA", keys, both)
	names("a short MAC", "wxs_a_"+merchant+"_"+component+"_AAAA", keys, both)
	names("no MAC", "wxs_a_"+merchant+"_"+component+"_", keys, both)
	names("of an earlier version", "wxs_a_"+merchant+"_"+text[len(text)-macText:], keys, alone)
	names("of an earlier version, with a short MAC", "wxs_a_"+merchant+"_AAAA", keys, alone)
	names("of an earlier version, without a MAC", "wxs_a_"+merchant+"_", keys, alone)
	names("cut off in the component", "wxs_a_"+merchant+"_"+component[:10], keys, alone)
	void := func(text string) {
		t.Helper()
		if h := keys.verify([]byte(text), open, nil); !h.says(&handle{void: true}) {
			t.Errorf("%q was read as %+v", text, h)
		}
	}
	for _, text := range []string{
		"", "a", "a_", "a__", "a_" + merchant, "z_" + merchant + "_AAAA", "_" + merchant + "_AAAA", merchant, "a_a b_AAAA", "a_\x00_AAAA",
		"c_" + component + "_" + component2 + "_AAAA", "o_" + own + "_" + component + "_AAAA",
	} {
		void("wxs_" + text)
	}
}

func FuzzHandle(f *testing.F) {
	keys := handleKeys{[]byte("present")}
	open, closed := mustCallers(f), mustCallers(f, callerOf("shop", "1"))
	f.Add([]byte("wxs_a_" + merchant + "_AAAA"))
	f.Add([]byte("wxs_a_" + merchant + "_" + component + "_AAAA"))
	f.Add([]byte(keys.issue(authorizerKey(merchant), nil)))
	f.Add([]byte(keys.issue(componentKey(component), nil)))
	f.Add([]byte("wxs_"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h := keys.verify(bytes.Clone(text), open, nil)
		if h.genuine && keys.issue(h.key(), nil) != string(text) {
			t.Errorf("%q was read as %+v", text, h)
		}
		if h.void != (h.appID == "") || h.appID != "" && !plausibleAppID(h.appID) {
			t.Errorf("%q was read as %+v", text, h)
		}
		if h.component != "" && (h.kind != broker.KindAuthorizer || !isAppID(h.component)) {
			t.Errorf("%q was read as %+v", text, h)
		}
		if h := keys.verify(bytes.Clone(text), closed, nil); !h.void {
			t.Errorf("with callers %q was read as %+v", text, h)
		}
		// What is issued for an account that can be is read as that account again.
		of := broker.Key{Kind: broker.KindAuthorizer, AppID: h.appID, Component: component2}
		if of.AppID == "" || splitAccount(of.AppID).Component != "" {
			return
		}
		if again := keys.verify([]byte(keys.issue(of, nil)), open, nil); again.key() != of || !again.genuine {
			t.Errorf("%s was issued, and read as %+v", of, again)
		}
	})
}

// The broker keeps the appid of a handle, also of a forged one, but not the rest of its text.
func TestHandle_KeepsNothingOfALongText(t *testing.T) {
	const count, size = 1000, 14 << 10
	open := mustCallers(t)
	for _, of := range []string{"", component + "_"} {
		before, kept := heap(), []string{}
		for i := range count {
			text := fmt.Sprintf("wxs_a_wx%016x_%s", i, of) + strings.Repeat("x", size)
			h := handleKeys{[]byte("present")}.verify([]byte(text), open, nil)
			kept = append(kept, h.appID, h.component)
		}
		if grew := heap() - before; grew > count*size/10 {
			t.Errorf("%d bytes are kept of %d handles", grew, count)
		}
		if kept[0] != "wx0000000000000000" || kept[1]+"_" != of && of != "" {
			t.Errorf("read as of %s and %s", kept[0], kept[1])
		}
	}
}

// heap returns how many bytes are in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// What is remembered of handles does not grow without end.
func TestHandle_CacheIsBounded(t *testing.T) {
	var c handleCache
	for i := range maxHandles + 10 {
		c.put([]byte(strconv.Itoa(i)), &handle{}, &slot{})
	}
	if newest, _ := c.get([]byte(strconv.Itoa(maxHandles + 9))); len(c.m) > maxHandles || newest == nil {
		t.Errorf("%d handles, the newest among them: %v", len(c.m), newest != nil)
	}
}

func handleOf(key broker.Key, owner *caller, genuine bool) *handle {
	return &handle{kind: key.Kind, appID: key.AppID, component: key.Component, caller: owner, genuine: genuine}
}

// says compares what h says with want.
func (h *handle) says(want *handle) bool {
	return h.key() == want.key() && h.caller == want.caller && h.genuine == want.genuine && h.void == want.void
}

// Calls to many accounts read as many handles: each is two lines of a processor's cache, which come
// together.
func TestHandle_Size(t *testing.T) {
	if size := unsafe.Sizeof(handle{}); size > 128 {
		t.Errorf("%d bytes", size)
	}
}

// A handle is not taken for another one with the same hash, nor one that is longer than WeChat's
// appids make it for any.
func TestHandle_CacheKeepsThemApart(t *testing.T) {
	var c handleCache
	text := []byte("wxs_o_wx0123456789abcdef_MAC")
	kept, at := &handle{genuine: true}, &slot{}
	c.put(text, kept, at)
	for _, other := range [][]byte{text[:len(text)-1], append(bytes.Clone(text), 'x'), bytes.Replace(text, []byte("MAC"), []byte("mac"), 1)} {
		c.m[maphash.Bytes(hashSeed, other)] = keptHandle{kept, at}
		if h, found := c.get(other); h != nil || found != nil {
			t.Errorf("%s is taken for %s", other, text)
		}
	}
	if h, found := c.get(text); h != kept || found != at {
		t.Errorf("%s is not found", text)
	}
	long := bytes.Repeat([]byte("a"), longestKept+1)
	c.put(long, &handle{genuine: true}, at)
	for _, text := range [][]byte{long, long[:longestKept]} {
		if h, found := c.get(text); h != nil || found != nil {
			t.Error("one that is too long is kept")
		}
	}
}
