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
	shop, till := callerOf("shop", "1"), callerOf("till", "2")
	c := mustCallers(t, shop, till)
	for _, kind := range []broker.Kind{broker.KindComponent, broker.KindAuthorizer, broker.KindAccount} {
		for _, owner := range c.all {
			text := keys.make(kind, merchant, owner)
			for range 2 { // the second is answered from memory
				h := keys.read([]byte(text), c)
				if h == nil || h.kind != kind || h.appid != merchant || h.caller != owner {
					t.Errorf("read(%s) = %+v", text, h)
				}
			}
		}
	}
	open := mustCallers(t)
	if h := keys.read([]byte(keys.make(broker.KindAuthorizer, merchant, nil)), open); h == nil || h.caller != nil {
		t.Errorf("without callers: %+v", h)
	}
	if h := keys.read([]byte(handleKeys{keys[1]}.make(broker.KindAuthorizer, merchant, nil)), open); h == nil {
		t.Error("a handle of the previous key is not read")
	}
	if h := keys.read([]byte(handleKeys{keys[1]}.make(broker.KindAuthorizer, "odd_app_id", nil)), open); h == nil || h.appid != "odd_app_id" {
		t.Errorf("an appid with underscores: %+v", h)
	}
}

func TestHandle_Void(t *testing.T) {
	keys := handleKeys{[]byte("present")}
	c := mustCallers(t, callerOf("shop", "1"))
	text := keys.make(broker.KindAuthorizer, merchant, c.all[0])
	f := func(name, text string, k handleKeys, c *callers) {
		t.Helper()
		if h := k.read([]byte(text), c); h != nil {
			t.Errorf("%s: %q was read as %+v", name, text, h)
		}
	}
	f("another key", text, handleKeys{[]byte("other")}, mustCallers(t, callerOf("shop", "1")))
	f("the caller's key changed", text, keys, mustCallers(t, callerOf("shop", "new")))
	f("the caller was renamed", text, keys, mustCallers(t, callerOf("shop2", "1")))
	f("callers were taken away", text, keys, mustCallers(t))
	f("another appid", strings.Replace(text, merchant, merchant2, 1), keys, c)
	f("another kind", strings.Replace(text, "wxs_a_", "wxs_c_", 1), keys, c)
	f("no kind", strings.Replace(text, "wxs_a_", "wxs_z_", 1), keys, c)
	for i := range len(text) {
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

func FuzzHandle(f *testing.F) {
	keys := handleKeys{[]byte("present")}
	c := mustCallers(f)
	f.Add([]byte("wxs_a_" + merchant + "_AAAA"))
	f.Add([]byte("wxs_"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if h := keys.read(bytes.Clone(text), c); h != nil && keys.make(h.kind, h.appid, nil) != string(text) {
			t.Errorf("%q was read as %+v", text, h)
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
