package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// What we added to a call does not come back to the app with the answer, wherever
// an error or a redirect repeats it.
func TestRedact_ErrorsThatRepeatTheCall(t *testing.T) {
	const repeat = "{{}}" // stands for what is repeated
	f := func(method, path, body, secret, answer, want string) {
		t.Helper()
		up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
			if _, _, err := readRequest(br); err == nil {
				io.WriteString(c, strings.ReplaceAll(answer, repeat, secret))
			}
		})
		s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.url}})
		got := s.call(t, method, path, body, forMerchant())
		if got.err != nil || got.body != want {
			t.Errorf("%s %q: %d %q %v, want %q", path, answer, got.status, got.body, got.err, want)
		}
		if text := fmt.Sprint(got); strings.Contains(text, secret) {
			t.Errorf("%s %q: the app gets %s", path, answer, text)
		}
	}
	for _, call := range []struct{ method, path, body, secret string }{
		{"GET", "/x", "", tokenText(authorizerKey(merchant), 1)},
		{"GET", "/sns/jscode2session?appid=" + own + "&secret=x", "", "real%26" + own},
		{"POST", "/cgi-bin/clear_quota/v2", `{"appid":"` + own + `","appsecret":"x"}`, "real&" + own},
	} {
		answer := func(head, body, want string) {
			t.Helper()
			f(call.method, call.path, call.body, call.secret, head+"Connection: close\r\n\r\n"+body, want)
		}
		answer("HTTP/1.1 200 OK\r\n", `{"errcode":40003,"errmsg":"no {{}}, {{}} rid: 1"}`,
			`{"errcode":40003,"errmsg":"no held_by_wxsidecar, held_by_wxsidecar rid: 1"}`)
		answer("HTTP/1.1 404 no {{}}\r\n", "no page /x?t={{}}", "no page /x?t=held_by_wxsidecar")
		answer("HTTP/1.1 302 Found\r\nLocation: https://x/?t={{}}\r\n", `<a href="{{}}">`, `<a href="held_by_wxsidecar">`)
		for _, name := range []string{"Location", "Content-Location", "Refresh", "Link", "Set-Cookie", "Server", "Date", "Content-Type", "Content-Encoding", "X-Y"} {
			answer("HTTP/1.1 200 OK\r\n"+name+": a={{}}\r\n"+name+": b={{}}\r\nX-Other: 1\r\n", "ok", "ok")
		}
	}
}

// A token with characters that mean something in a query is one parameter to WeChat, and comes
// back neither as it is nor as it was sent.
func TestRedact_TokenThatIsEscaped(t *testing.T) {
	f := func(value, sent string) {
		t.Helper()
		targets := make(chan string, 9)
		up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
			head, _, err := readRequest(br)
			if err != nil {
				return
			}
			targets <- strings.Fields(head)[1]
			fmt.Fprintf(c, "HTTP/1.1 404 no\r\nConnection: close\r\nX-Plain: %s\r\nX-Sent: %[2]s\r\n\r\n%[1]s %[2]s", value, sent)
		})
		src, key := platform(), authorizerKey(merchant)
		now := src.Now()
		src.tokens[key] = broker.NewToken(key, secret.New(value), 1, now, now.Add(2*time.Hour))
		s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.url}})
		got := s.call(t, "GET", "/x?lang=1&access_token=own", "", forMerchant())
		if want := placeholder + " " + placeholder; got.status != 404 || got.body != want || got.header.Get("X-Plain")+got.header.Get("X-Sent") != "" {
			t.Errorf("%q: %d %q %v, want %q", value, got.status, got.body, got.header, want)
		}
		close(targets)
		if n, target := len(targets), <-targets; n != 1 || target != "/x?lang=1&access_token="+sent {
			t.Errorf("%q: %d calls, the first of %q", value, n, target)
		}
	}
	f("plain-._~09azAZ", "plain-._~09azAZ")
	f("a&access_token=b", "a%26access_token%3Db")
	f("a+b/c==", "a%2Bb%2Fc%3D%3D")
	f("a#b%26 c", "a%23b%2526%20c")
	f("ä", "%C3%A4")
}

// A long error page is no exception, with a length and without.
func TestRedact_LongErrors(t *testing.T) {
	token := tokenText(authorizerKey(merchant), 1)
	page := strings.Repeat("<p>", 100_000) + "/x?access_token="
	for _, head := range []string{fmt.Sprintf("Content-Length: %d\r\n", len(page+token)), ""} {
		up := newRaw(t, func(_ int, c net.Conn, br *bufio.Reader) {
			if _, _, err := readRequest(br); err == nil {
				io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n"+head+"\r\n"+page+token)
			}
		})
		s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
		got := s.call(t, "GET", "/x", "", forMerchant())
		if got.status != 502 || got.body != page+placeholder {
			t.Errorf("%q: %d, %d bytes, %v: ends in %q", head, got.status, len(got.body), got.err, got.body[max(0, len(got.body)-80):])
		}
	}
}

// An answer that is no error passes as it came.
func TestRedact_GoodAnswersPass(t *testing.T) {
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Location", "https://x/")
		w.WriteHeader(302)
		io.WriteString(w, "moved")
	})
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	got := s.call(t, "GET", "/x", "", forMerchant())
	if got.status != 302 || got.body != "moved" || got.header.Get("Location") != "https://x/" || got.header.Get("Set-Cookie") != "a=b" {
		t.Errorf("%d %v %q", got.status, got.header, got.body)
	}
}
