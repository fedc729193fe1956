package proxy

import (
	"strings"
	"testing"
)

func lines(s ...string) []byte { return []byte(strings.Join(s, "\r\n") + "\r\n\r\n") }

func TestReadHead_WhatPasses(t *testing.T) {
	got, h, fault := readHead(nil, lines(
		"Host: x", "User-Agent: app", "x-Odd-Case: 1", "Cookie: a=b", "Authorization: Bearer y", "Wechatmp-Signature: s",
		"Connection: close, X-Hop", "X-Hop: 1", "x-hop: 2", "Keep-Alive: 5", "TE: trailers", "Trailer: A", "Upgrade: h2c",
		"Proxy-Authorization: Basic eA==", "Proxy-Connection: x", "Expect: 100-continue", "Accept-Encoding: gzip",
		"X-Wechat-Appid: "+merchant, "X-Wxsidecar-Key: k", "X-Wxsidecar-Future: 1", "Content-Length: 5", "Content-Type: text/plain",
		"X-Wxsidecar-With-A-Very-Long-Name-Indeed: 1", "proxy_connection: x", "content_length: 3", "X-Empty:",
	))
	if fault != nil {
		t.Fatal(fault)
	}
	want := "User-Agent: app\r\nx-Odd-Case: 1\r\nCookie: a=b\r\nAuthorization: Bearer y\r\nWechatmp-Signature: s\r\nContent-Type: text/plain\r\nX-Empty:\r\n"
	if string(got) != want {
		t.Errorf("passed on:\n%q\nwant\n%q", got, want)
	}
	if string(h.appid) != merchant || string(h.key) != "k" || string(h.credentials) != "Basic eA==" || h.browser {
		t.Errorf("read %q %q %q %v", h.appid, h.key, h.credentials, h.browser)
	}
}

func TestReadHead_Refuses(t *testing.T) {
	f := func(raw string) {
		t.Helper()
		if _, _, fault := readHead(nil, []byte(raw)); fault == nil || fault.status != 400 {
			t.Errorf("readHead(%q) = %v, want a refusal", raw, fault)
		}
	}
	f("A: 1\nB: 2\r\n\r\n")
	f("A: 1\r\n B: folded\r\n\r\n")
	f("A: 1\r\n\tB: folded\r\n\r\n")
	f("A B: 1\r\n\r\n")
	f("A : 1\r\n\r\n")
	f(": 1\r\n\r\n")
	f("A: 1\rX: 2\r\n\r\n")
	f("no colon\r\n\r\n")
	f("X_Wechat_Appid: x\r\n\r\n")
	f("X-Wechat_Appid: x\r\n\r\n")
	f("x_wxsidecar_key: x\r\n\r\n")
	f("x_wxsidecar_request_id_that_is_very_long: x\r\n\r\n")
	f("X-Wechat-Appid: a\r\nX-Wechat-Appid: b\r\n\r\n")
	f("X-Wechat-Appid:\r\n\r\n")
	f("X-Wechat-Component: \t\r\n\r\n")
	f("X-Wxsidecar-Key: \r\n\r\n")
	f("X-Wxsidecar-Key: a\r\nx-wxsidecar-key: a\r\n\r\n")
	f("Referer: http://localhost/\r\nreferer: http://evil.example/\r\n\r\n")
	f("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
	f("Transfer-Encoding: identity\r\n\r\n")
	f("Transfer-Encoding: gzip, chunked\r\n\r\n")
	f("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")
}

func TestReadHead_Browsers(t *testing.T) {
	f := func(line string, want bool) {
		t.Helper()
		if _, h, fault := readHead(nil, lines(line)); fault != nil || h.browser != want {
			t.Errorf("%q: browser = %v, %v", line, h.browser, fault)
		}
	}
	f("Origin: http://evil.example", true)
	f("Origin: null", true)
	f("Sec-Fetch-Site: cross-site", true)
	f("Sec-Fetch-Site: same-site", true)
	f("Sec-Fetch-Site: same-origin", false)
	f("Sec-Fetch-Site: none", false)
	f("Referer: http://x/", false)
}

// No line goes out that did not come in, and none that is ours or hop-by-hop in
// any spelling.
func FuzzReadHead(f *testing.F) {
	f.Add("A: 1\r\nConnection: A\r\n\r\n")
	f.Add("X_Wechat_Appid: 1\r\n\r\n")
	f.Add("Transfer-Encoding: chunked\r\nX-Y: z\r\n\r\n")
	f.Add("A: 1\r\n b\r\n\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		out, _, fault := readHead(nil, []byte(raw))
		if fault != nil {
			return
		}
		for line := range strings.SplitAfterSeq(string(out), "\r\n") {
			if line == "" {
				continue
			}
			name, _, ok := strings.Cut(line, ":")
			if !ok || !strings.HasSuffix(line, "\r\n") || strings.ContainsAny(strings.TrimSuffix(line, "\r\n"), "\r\n") || !strings.Contains(raw, line) {
				t.Fatalf("%q let %q through", raw, line)
			}
			norm := strings.ReplaceAll(strings.ToLower(name), "_", "-")
			if strings.HasPrefix(norm, "x-wxsidecar") || norm == "x-wechat-appid" || norm == "x-wechat-component" || norm == "transfer-encoding" || norm == "connection" {
				t.Fatalf("%q let %q through", raw, line)
			}
		}
	})
}
