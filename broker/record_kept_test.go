package broker

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// What memory holds of a record is what it would read from the store.
func TestKept_IsWhatTheStoreHas(t *testing.T) {
	f := func(r *record, packed bool) {
		t.Helper()
		k := keep(r)
		if got := k.rec == nil; got != packed {
			t.Errorf("%+v: packed: %t", r, got)
		}
		plain, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		want, err := decodeRecord(r.generation, plain)
		if err != nil {
			t.Fatal(err)
		}
		want.fence = r.fence
		if got := k.record(); packed && !reflect.DeepEqual(got, want) {
			t.Errorf("held is %+v, want %+v", got, want)
		} else if !packed && got != r {
			t.Errorf("held is another than %+v", r)
		}
	}
	now := noon.Add(123456789 * time.Nanosecond)
	f(&record{}, true)
	f(&record{generation: 1, refreshToken: secret.New("r")}, true)
	f(&record{generation: 1 << 63, fence: 7, token: secret.New("t"), obtained: now, dies: now.Add(time.Second), fullLife: time.Second}, true)
	f(&record{
		generation: 3, fence: 1 << 40, token: secret.New(strings.Repeat("t", 512)), obtained: now, dies: now.Add(2 * time.Hour), fullLife: 2 * time.Hour,
		refreshToken: secret.New(strings.Repeat("r", 300)), authorized: now.Add(-time.Hour), used: now.Add(time.Minute),
	}, true)
	f(&record{generation: 1, spare: secret.New("s")}, false)
	f(&record{generation: 1, verdict: StateUnauthorized}, false)
	f(&record{generation: 1, judged: now}, false)
	f(&record{generation: 1, reason: "why"}, false)
	f(&record{generation: 1, errcode: 1}, false)
	f(&record{generation: 1, quotaMet: now}, false)
	f(&record{generation: 1, forced: &forcedRecord{}}, false)
	f(&record{generation: 1, unreadable: true}, false)
}

// A record that gets a field more says whether memory keeps it.
func TestKept_KnowsEveryField(t *testing.T) {
	if n := reflect.TypeFor[record]().NumField(); n != 17 {
		t.Errorf("a record has %d fields: have pack keep the new one, or refuse it, and the test above know it", n)
	}
}
