package proxy

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestFindErrcode(t *testing.T) {
	f := func(body string, want int) {
		t.Helper()
		if got := findErrcode([]byte(body)); got != want {
			t.Errorf("findErrcode(%.80q) = %d, want %d", body, got, want)
		}
	}
	f(`{"errcode":40001,"errmsg":"invalid credential"}`, 40001)
	f(`{"errcode":"42001","errmsg":""}`, 42001)
	f(" \r\n\t{ \"errmsg\" : \"x\" , \"errcode\" : 40014 }", 40014)
	f("\ufeff{\"errcode\":40001}", 40001)
	f("\ufeff \r\n{\"errcode\":\"42001\"}", 42001)
	f("\ufeff\ufeff{\"errcode\":40001}", 0)
	f("\xef\xbb{\"errcode\":40001}", 0)
	f("\ufeff", 0)
	f(`{"errcode":-1}`, -1)
	f(`{"errcode":"-1"}`, -1)
	f(`{"errcode":0,"errmsg":"ok"}`, 0)
	f(`{"a":{"errcode":40001},"b":[{"errcode":40001}]}`, 0)
	f(`{"a":{"errcode":1},"errcode":40001}`, 40001)
	f(`{"a":"\"errcode\":40001"}`, 0)
	f(`{"a":"\\","errcode":40001}`, 40001)
	f(`{"a":[1,"]}",{}],"errcode":40001}`, 40001)
	f(`{"errcode":4e4}`, 0)
	f(`{"errcode":40001.0}`, 40001)
	f(`{"errcode":"40001.00"}`, 40001)
	f(`{"errcode":40001.5}`, 0)
	f(`{"errcode":40001.}`, 0)
	f(`{"errcode":"40001.0}`, 0)
	f(`{"errcode":null}`, 0)
	f(`{"errcode":true}`, 0)
	f(`{"errcode":40001`, 0)
	f(`{"errcode":"40001}`, 0)
	f(`{"errcode":99999999999999999999}`, 0)
	f(`{"ERRCODE":40001}`, 0)
	f(`{"base_resp":{"ret":40001}}`, 0)
	f(`[{"errcode":40001}]`, 0)
	f(`"errcode":40001`, 0)
	f(``, 0)
	f(`{`, 0)
	f(`{}`, 0)
	f("\xff\xd8\xff\xe0 JFIF", 0)
	f(`{"x":"`+strings.Repeat("y", 3900)+`","errcode":40001}`, 40001)
	f(`{"x":"`+strings.Repeat("y", 5000)+`","errcode":40001}`, 0)
}

func FuzzFindErrcode(f *testing.F) {
	for _, seed := range []string{`{"errcode":40001}`, `{"errcode":"-1"}`, `{"a":[{}],"errcode":1}`, `{"a":"\"`, `{"\u0065rrcode":1}`, "\ufeff {\"errcode\":40001}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := findErrcode(body)
		if len(body) > errcodeScanBytes {
			return
		}
		var parsed map[string]json.RawMessage
		if json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &parsed) != nil || strings.Count(string(body), "errcode") != 1 {
			return // what is no JSON, or names it twice, may be read either way
		}
		want := 0
		if raw, ok := parsed["errcode"]; ok {
			text := strings.Trim(string(raw), `"`)
			if len(text) <= 9 && json.Unmarshal([]byte(text), &want) != nil {
				want = 0
			}
			if strings.ContainsAny(text, ".eE+ ") || len(text) > 9 {
				return
			}
		}
		if got != want {
			t.Errorf("findErrcode(%q) = %d, want %d", body, got, want)
		}
	})
}

func BenchmarkFindErrcode(b *testing.B) {
	body := []byte(`{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest rid: 6543"}`)
	b.ReportAllocs()
	for b.Loop() {
		if findErrcode(body) != 40001 {
			b.Fatal("not found")
		}
	}
}
