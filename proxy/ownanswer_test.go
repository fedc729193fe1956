package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// wantOwnHead wants in an answer of our own the header lines that we set, and
// nothing that fasthttp adds or that the upstream had sent before.
func wantOwnHead(t *testing.T, name, got string, lines ...string) {
	t.Helper()
	head, _, _ := strings.Cut(got, "\r\n\r\n")
	for i, line := range strings.Split(head, "\r\n") {
		field, _, _ := strings.Cut(line, ":")
		switch field {
		case "Content-Type", "Content-Length", "Connection", "Retry-After", headerError, headerRequestID:
		default:
			if i > 0 {
				t.Errorf("%s: the header line %q", name, line)
			}
		}
	}
	for _, line := range lines {
		if !strings.Contains(head+"\r\n", line+"\r\n") {
			t.Errorf("%s: no line %q in %q", name, line, head)
		}
	}
}

// Our own answers have the head that design says, on the wire, whatever was in the
// answer before.
func TestOwnAnswers_Head(t *testing.T) {
	up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
		readRequest(br)
		io.WriteString(c, "HTTP/1.1 203 Odd\r\nDate: x\r\nServer: nginx\r\nX-More: y\r\nSet-Cookie: a=b\r\n"+
			"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: 50\r\n\r\nhalf")
	})
	src := &panicking{source: platform()}
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.url}})
	f := func(name, request, status, code string) {
		t.Helper()
		got := rawCall(t, s.addr, request)
		number, _ := strconv.Atoi(status)
		if !strings.HasPrefix(got, "HTTP/1.1 "+status+" "+http.StatusText(number)+"\r\n") {
			t.Errorf("%s: %.200q, want %s", name, got, status)
		}
		wantOwnHead(t, name, got, "X-Wxsidecar-Error: "+code, "Content-Type: application/json; charset=utf-8")
	}
	const local = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	f("refused", "GET /x"+local+"\r\n", "400", "no_account")
	f("refused with a body", "POST /x"+local+"Content-Length: 3\r\n\r\nabc", "400", "no_account")
	f("no HTTP", "nonsense\r\n\r\n", "400", "bad_request")
	f("long head", "GET /x"+local+"X: "+strings.Repeat("y", 20<<10)+"\r\n\r\n", "431", "head_too_large")
	f("CONNECT", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "403", "connect_refused")
	f("broken answer", "GET /x"+local+"X-Wechat-Appid: "+merchant+"\r\n\r\n", "502", "answer_broken")
	src.panics = true
	f("panic", "GET /x"+local+"X-Wechat-Appid: "+merchant+"\r\n\r\n", "500", "internal")
}

// What we answer ourselves to SDKs has no Date either, nor anything of fasthttp's.
func TestOwnAnswers_TokenHead(t *testing.T) {
	s := start(t, Options{Source: platform()})
	got := rawCall(t, s.addr, fmt.Sprintf("GET /cgi-bin/token?appid=%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", own))
	if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", http.StatusOK)) {
		t.Errorf("%q", got)
	}
	wantOwnHead(t, "token", got)
}
