package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// wantUncertain wants an answer that says that the call may have been carried out,
// and that invites nobody to send it again.
func wantUncertain(t *testing.T, name string, got answer, status int, code string) {
	t.Helper()
	var shape struct {
		Errcode int
		Errmsg  string
	}
	err := json.Unmarshal([]byte(got.body), &shape)
	if got.err != nil || err != nil || got.status != status || got.fault() != code {
		t.Errorf("%s: %d %s %q %v %v, want %d %s", name, got.status, got.fault(), got.body, got.err, err, status, code)
	}
	if shape.Errcode != 61450 || !strings.HasPrefix(shape.Errmsg, "wxsidecar: ") || !strings.Contains(shape.Errmsg, "may have been carried out") {
		t.Errorf("%s: %q does not say that the call may have been carried out", name, got.body)
	}
	if again := got.header.Get("Retry-After"); again != "" {
		t.Errorf("%s: Retry-After %q invites to send it again", name, again)
	}
}

// A call that WeChat may have carried out is sent once, whether its connection was
// kept or new, and wherever the answer ends. Only GET and HEAD have another attempt,
// exactly one.
func TestRoundTrip_MayHaveBeenCarriedOut(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(c net.Conn, br *bufio.Reader){
		"closes":       func(c net.Conn, br *bufio.Reader) { readRequest(br) },
		"resets":       func(c net.Conn, br *bufio.Reader) { readRequest(br); reset(c) },
		"reads a byte": func(c net.Conn, br *bufio.Reader) { br.ReadByte(); reset(c) },
		"informational": func(c net.Conn, br *bufio.Reader) {
			readRequest(br)
			io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		},
		"half a head": func(c net.Conn, br *bufio.Reader) { readRequest(br); io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-") },
		"no HTTP":     func(c net.Conn, br *bufio.Reader) { readRequest(br); io.WriteString(c, "+OK\r\n\r\n") },
		"switches":    func(c net.Conn, br *bufio.Reader) { readRequest(br); io.WriteString(c, "HTTP/1.1 101 X\r\n\r\n") },
		"half a body": func(c net.Conn, br *bufio.Reader) {
			readRequest(br)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		},
	} {
		answered := name == "informational" || name == "half a head" || name == "no HTTP" || name == "switches" || name == "half a body"
		for _, kept := range []bool{false, true} {
			for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "GET", "HEAD"} {
				t.Run(fmt.Sprintf("%s, kept %v, %s", name, kept, method), func(t *testing.T) {
					t.Parallel()
					attempts := make(chan struct{}, 9)
					up := newRaw(t, func(n int, c net.Conn, br *bufio.Reader) {
						if kept && n == 1 {
							readRequest(br)
							reply(c, okAnswer)
						}
						if _, err := br.Peek(1); err != nil {
							return
						}
						attempts <- struct{}{}
						die(c, br)
					})
					s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.url}})
					if kept {
						s.call(t, "POST", "/x", "first", forMerchant())
					}
					body := smallPost
					if method == "GET" || method == "HEAD" {
						body = ""
					}
					got := s.call(t, method, "/x", body, forMerchant())
					want := 1
					switch {
					case body != "":
						wantUncertain(t, "", got, 504, codeBroken)
					case !answered:
						want = 2
						fallthrough
					default:
						if got.status != 502 || method == "GET" && !strings.HasPrefix(got.body, `{"errcode":-1,`) {
							if method != "HEAD" || name != "half a body" { // HEAD has no body that could break off
								t.Errorf("%d %q %v", got.status, got.body, got.err)
							}
						}
					}
					if n := len(attempts); n != want {
						t.Errorf("%d attempts reached the upstream, want %d", n, want)
					}
				})
			}
		}
	}
}

// The same with apps.errors: 200, and where the time is up.
func TestRoundTrip_MayHaveBeenCarriedOutAs200(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]serveFault{
		"answer_broken":    func(_ int, _ net.Conn, br *bufio.Reader) { readRequest(br) },
		"upstream_timeout": func(_ int, _ net.Conn, br *bufio.Reader) { readRequest(br); br.ReadByte() },
	} {
		for as200, status := range map[bool]int{true: 200, false: 504} {
			up := newRaw(t, die)
			s := start(t, Options{Source: platform(), ErrorsAsHTTP200: as200, Upstream: UpstreamOptions{URL: up.url, Timeout: 300 * time.Millisecond}})
			got := s.call(t, "POST", "/x", smallPost, forMerchant())
			if name == "answer_broken" && got.fault() == "upstream_timeout" {
				continue // the machine is busy
			}
			wantUncertain(t, name, got, status, name)
			if n := up.conns.Load(); n != 1 {
				t.Errorf("%s: %d attempts", name, n)
			}
		}
	}
}

// What WeChat did carry out, and whose answer cannot be passed on, is no different.
func TestForward_AnswerThatCannotPassIsUncertain(t *testing.T) {
	up := newRaw(t, sends("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nzz"))
	s := start(t, Options{Source: platform(), Exchange: &exchange{}, Upstream: UpstreamOptions{URL: up.url}})
	got := s.call(t, "POST", "/cgi-bin/component/api_get_authorizer_list", "{}")
	wantUncertain(t, "encoded", got, 504, "answer_encoded")
}

// An authorization code that WeChat may have spent is such a call.
func TestExchange_CodeThatMayBeSpent(t *testing.T) {
	const path, body = "/cgi-bin/component/api_query_auth", `{"authorization_code":"c"}`
	f := func(err error, code string) {
		t.Helper()
		s := start(t, Options{Source: platform(), Exchange: &exchange{err: err}})
		got := s.call(t, "POST", path, body)
		if code != "" {
			wantUncertain(t, err.Error(), got, 504, code)
		} else if got.status != 503 || !strings.HasPrefix(got.body, `{"errcode":-1,`) || got.header.Get("Retry-After") == "" {
			t.Errorf("%v: %d %q", err, got.status, got.body)
		}
	}
	f(&wechat.NoAnswerError{Path: path, Err: io.EOF, Sent: true}, "answer_broken")
	f(&wechat.NoAnswerError{Path: path, Err: wechat.ErrTimeUp, Sent: true}, "upstream_timeout")
	f(&wechat.BadAnswerError{Path: path, Status: 502, Reason: "status is not 200"}, "answer_broken")
	f(&broker.StateError{State: broker.StateRetrying, Reason: "connection refused", RetryAfter: time.Second}, "")
}

// A call that WeChat refused, because of its token, was not carried out: what then
// keeps it from going again is passing.
func TestForward_RefusedAndNotSentAgainIsCertain(t *testing.T) {
	src := platform()
	up := newWeChat(t, func(w http.ResponseWriter, _ *http.Request) {
		src.mu.Lock()
		src.errs[authorizerKey(merchant)] = context.DeadlineExceeded
		src.mu.Unlock()
		io.WriteString(w, `{"errcode":40001}`)
	})
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	got := s.call(t, "POST", "/x", smallPost, forMerchant())
	if got.status != 503 || !strings.HasPrefix(got.body, `{"errcode":-1,`) || got.header.Get("Retry-After") == "" || up.calls.Load() != 1 {
		t.Errorf("%d %q %v, %d calls", got.status, got.body, got.header, up.calls.Load())
	}
}

// refusingConn writes nothing and says why.
type refusingConn struct {
	fakeUpstream
	err   error
	taken int
}

func (c *refusingConn) Write(p []byte) (int, error) { return min(c.taken, len(p)), c.err }

// What a write that failed tells of what was sent: a connection that took nothing
// costs no call, one that took a byte has it, and TLS does not say.
func TestRoundTrip_FailedWrites(t *testing.T) {
	f := func(name, method string, taken int, reused bool, wantDials int, wantErr, wantSent bool) {
		t.Helper()
		s, good := fakeServer(t, Options{})
		u, dials := s.upstream, 0
		h := u.hosts[0]
		bad := &refusingConn{err: syscall.EPIPE, taken: taken}
		h.dialer.Connect = func(context.Context, string, string) (net.Conn, error) {
			if dials++; dials == 1 && !reused {
				return bad, nil
			}
			return good, nil
		}
		if reused {
			h.pool.put(newConn(bad, h, u.now, 0), u.now())
		}
		r := &request{requestHead: requestHead{method: []byte(method), path: []byte("/x")}, body: body{whole: true, length: lengthNone}}
		var resp fasthttp.Response
		c, err := u.roundTrip(u.now(), r, nil, &resp)
		if (err != nil) != wantErr || dials != wantDials || r.sent != wantSent {
			t.Errorf("%s, %s: %v, %d dials, sent %v; want an error %v, %d, %v", name, method, err, dials, r.sent, wantErr, wantDials, wantSent)
		}
		if c != nil {
			c.close()
		}
		h.pool.close()
	}
	f("kept, nothing taken", "POST", 0, true, 1, false, true)
	f("kept, a byte taken", "POST", 1, true, 0, true, true)
	f("kept, a byte taken", "GET", 1, true, 1, false, true)
	f("new, nothing taken", "POST", 0, false, 1, true, false)
	f("new, nothing taken", "GET", 0, false, 2, false, true)
	f("new, a byte taken", "POST", 1, false, 1, true, true)
}

func TestConn_TLSDoesNotSayWhatWasWritten(t *testing.T) {
	c := newConn(tls.Client(&pausableConn{Conn: &refusingConn{err: syscall.EPIPE}}, &tls.Config{}), &host{}, time.Now, 0)
	if _, err := c.Write([]byte("x")); err == nil || !c.sent {
		t.Errorf("%v, wrote %v", err, c.sent)
	}
}
