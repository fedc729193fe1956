package wechat

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRead has the reader take whatever comes without a panic, and say of valid JSON
// what encoding/json says of it.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"errcode":0,"access_token":"abc","expires_in":7200,"list":[{"authorizer_appid":"wxa","auth_time":"1"}]}`,
		"\ufeff{\"nick_name\":\"\x01\\S\\u12\\ud83d\",\"expires_in\":\"7.2e3\"}", `{"a":{"b":[1,null,"x"]},"a":1}`, `{"a":"\`, `{"\S":1}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		before := bytes.Clone(answer)
		o, err := readAnswer(answer)
		if !bytes.Equal(before, answer) {
			t.Fatal("the answer was changed")
		}
		if json.Valid(bytes.TrimPrefix(answer, byteOrderMark)) != json.Valid(answer) {
			return // a byte order mark, which encoding/json does not read
		}
		var want map[string]any
		dec := json.NewDecoder(bytes.NewReader(answer))
		dec.UseNumber()
		if !json.Valid(answer) || dec.Decode(&want) != nil || want == nil {
			_, _, _ = o.text("a"), o.inner("a"), o.has("a")
			_, _ = o.number("a")
			_, _ = o.items("a")
			return
		}
		if err != nil {
			t.Fatalf("valid JSON is not read: %v", err)
		}
		for name, value := range want {
			if !o.twice[name] {
				same(t, o, name, value)
			}
		}
	})
}

func same(t *testing.T, o object, name string, value any) {
	t.Helper()
	switch v := value.(type) {
	case string:
		if got := o.text(name); got != v {
			t.Errorf("%q: text %q, want %q", name, got, v)
		}
	case json.Number:
		want, err := v.Int64()
		if got, ok := o.number(name); err == nil && (!ok || got != want) {
			t.Errorf("%q: number %d, want %d", name, got, want)
		}
	case map[string]any:
		inner := o.inner(name)
		if len(inner.members)+len(inner.twice) != len(v) {
			t.Errorf("%q: %d members, want %d", name, len(inner.members), len(v))
		}
	case []any:
		if items, ok := o.items(name); !ok || len(items) != len(v) {
			t.Errorf("%q: %d items, want %d", name, len(items), len(v))
		}
	}
}

// TestRepair_LeavesJSONAlone has valid JSON come back in the same memory, so that a long
// list costs no copy.
func TestRepair_LeavesJSONAlone(t *testing.T) {
	valid := []byte(`{"a":"x\"\\\/\u00e9` + strings.Repeat(" ", 100) + "\",\n\t\"b\":[1]}")
	if got := repair(valid); &got[0] != &valid[0] || len(got) != len(valid) {
		t.Errorf("%s", got)
	}
}
