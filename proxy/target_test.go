package proxy

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestSplitTarget(t *testing.T) {
	f := func(raw, host, path, query string) {
		t.Helper()
		got, fault := splitTarget([]byte(raw))
		if fault != nil {
			t.Errorf("splitTarget(%q): %v", raw, fault)
			return
		}
		if string(got.host) != host || string(got.path) != path || string(got.query) != query {
			t.Errorf("splitTarget(%q) = %q %q %q, want %q %q %q", raw, got.host, got.path, got.query, host, path, query)
		}
	}
	f("/", "", "/", "")
	f("/cgi-bin/menu/get?a=1?b", "", "/cgi-bin/menu/get", "a=1?b")
	f("/a.b/..c/d..?x=/../", "", "/a.b/..c/d..", "x=/../")
	f("http://api.weixin.qq.com", "api.weixin.qq.com", "/", "")
	f("HTTP://api.weixin.qq.com?x=1", "api.weixin.qq.com", "/", "x=1")
	f("http://api.weixin.qq.com:80/a", "api.weixin.qq.com:80", "/a", "")
	f("https://api.weixin.qq.com/a?b", "api.weixin.qq.com", "/a", "b")
	f("//", "", "/", "")
	f("//evil/x", "", "/evil/x", "")
	f("///a//b///?c=//d", "", "/a/b/", "c=//d")
	f("http://h//x", "h", "/x", "")
	f("http://h//", "h", "/", "")
}

func TestSplitTarget_Refuses(t *testing.T) {
	for _, raw := range []string{
		"", "*", "x", "api.weixin.qq.com:443", "ftp://x/", "httpss://x/", "https:/x", "https//x/",
		"//..", "//./a", "/a//../b", "/.//a", "/a/../b", "/..", "/.", "/a/.", "/a/..", "/./a",
		"/%2e%2e/a", "/a%2fb", "/a%5cb", "/a%00", "/%252e%252e", "/a\\b", "/a#b", "/a?b#c", "/a;b", "/%c0%af",
		"/\x80", "/a b", "/a\x7f", "http://h//../x", "http://h/../x",
	} {
		if _, fault := splitTarget([]byte(raw)); fault == nil {
			t.Errorf("splitTarget(%q) was not refused", raw)
		}
	}
}

func TestCutAppIDPrefix(t *testing.T) {
	f := func(path, appid, rest string) {
		t.Helper()
		a, r := cutAppIDPrefix([]byte(path))
		if string(a) != appid || string(r) != rest {
			t.Errorf("cutAppIDPrefix(%q) = %q %q, want %q %q", path, a, r, appid, rest)
		}
	}
	f("/wx0123456789abcdef/cgi-bin/x", "wx0123456789abcdef", "/cgi-bin/x")
	f("/wx0123456789abcdef/", "wx0123456789abcdef", "/")
	f("/wx0123456789abcdef", "", "/wx0123456789abcdef")
	f("/wx0123456789abcdeg/x", "", "/wx0123456789abcdeg/x")
	f("/wx0123456789ABCDEF/x", "", "/wx0123456789ABCDEF/x")
	f("/wx0123456789abcdef0/x", "", "/wx0123456789abcdef0/x")
	f("/wxa/getwxacode", "", "/wxa/getwxacode")
}

func TestHostName(t *testing.T) {
	f := func(host, want string, ok bool) {
		t.Helper()
		got, gotOK := hostName(nil, []byte(host))
		if gotOK != ok || ok && string(got) != want {
			t.Errorf("hostName(%q) = %q %v, want %q %v", host, got, gotOK, want, ok)
		}
	}
	f("API.weixin.qq.com:443", "api.weixin.qq.com", true)
	f("localhost", "localhost", true)
	f("[::1]:7080", "::1", true)
	f("[::1]", "::1", true)
	f("127.0.0.1:7080", "127.0.0.1", true)
	for _, bad := range []string{"", ":80", "a@b", "a b", "a/b", "[::1", "[::1]x", "[fe80::1%25eth0]", "a:b", "a:123456", "a:80:80", "a\x00", strings.Repeat("a", 254)} {
		f(bad, "", false)
	}
}

// What passes has one reading: net/http finds the same path and query, decoding the
// path changes nothing, and neither does taking it apart again.
func FuzzSplitTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a/b?c=d", "/%2e", "//x", "/a//b///", "//wx0123456789abcdef//x", "http://h//p//?q=//", "//..//", "http://h/p?q", "/a;b", "*", "/a#b", "/\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, fault := splitTarget([]byte(raw))
		if fault != nil || strings.ContainsAny(raw, "\x00\r\n\t ") {
			return
		}
		if strings.Contains(string(got.path), "//") {
			t.Fatalf("%q: the path %q has an empty segment", raw, got.path)
		}
		if again, fault := splitTarget(bytes.Clone(got.path)); fault != nil || !bytes.Equal(again.path, got.path) {
			t.Fatalf("%q: the path %q is read as %q, %v", raw, got.path, again.path, fault)
		}
		req, err := http.NewRequest("GET", "http://h"+string(got.path), nil)
		if err != nil {
			t.Fatalf("%q: net/http refuses the path %q: %v", raw, got.path, err)
		}
		if req.URL.Path != string(got.path) || req.URL.EscapedPath() != string(got.path) && req.URL.RawPath == "" && !strings.ContainsAny(raw, "\"<>^`{|}[]'!()*") {
			t.Fatalf("%q: path %q, net/url reads %q", raw, got.path, req.URL.Path)
		}
	})
}
