package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker"
)

// staleUntil answers 40001 to tokens below a generation, in that text.
func staleUntil(generation int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var got int
		tok := r.URL.Query().Get("access_token")
		fmt.Sscanf(tok[strings.LastIndexByte(tok, '-')+1:], "%d", &got)
		if got < generation {
			io.WriteString(w, text)
			return
		}
		fmt.Fprintf(w, `{"errcode":0,"got":%q}`, b)
	}
}

func TestForward_Replay(t *testing.T) {
	f := func(text string) {
		t.Helper()
		up := newWeChat(t, staleUntil(2, text))
		src := platform()
		s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
		got := s.call(t, "POST", "/cgi-bin/message/custom/send", "hello", forMerchant())
		if got.body != `{"errcode":0,"got":"hello"}` || up.calls.Load() != 2 || src.reports != 1 || src.renewed != 1 {
			t.Errorf("%s: %q after %d calls, %d reports", text, got.body, up.calls.Load(), src.reports)
		}
	}
	f(`{"errcode":40001,"errmsg":"invalid credential"}`)
	f(`{"errcode":"40014"}`)
	f(` {"errmsg":"x","errcode": 42001 }`)
	f("\ufeff{\"errcode\":40001}")
}

func TestForward_ReplayOfComponentToken(t *testing.T) {
	up := newWeChat(t, staleUntil(2, `{"errcode":42001}`))
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}})
	if got := s.call(t, "GET", "/wxa/gettemplatelist", ""); got.body != `{"errcode":0,"got":""}` || up.calls.Load() != 2 {
		t.Errorf("%q after %d calls", got.body, up.calls.Load())
	}
}

func TestForward_ReplayOnlyOnce(t *testing.T) {
	const text = `{"errcode":40001,"errmsg":"always"}`
	up := newWeChat(t, staleUntil(99, text))
	src := platform()
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	got := s.call(t, "POST", "/cgi-bin/message/custom/send", "x", forMerchant())
	if got.body != text || got.status != 200 || up.calls.Load() != 2 || src.reports != 2 {
		t.Errorf("%q after %d calls and %d reports", got.body, up.calls.Load(), src.reports)
	}
}

// A token that comes back as it was is not tried again where WeChat gives another
// one with each renewal.
func TestForward_NoReplayWithTheSameToken(t *testing.T) {
	up := newWeChat(t, staleUntil(2, `{"errcode":40001}`))
	src := platform()
	src.sticky[merchant] = 1
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	if got := s.call(t, "GET", "/x", "", forMerchant()); got.body != `{"errcode":40001}` || up.calls.Load() != 1 {
		t.Errorf("%q after %d calls", got.body, up.calls.Load())
	}
}

// An own account's token comes back unchanged from the first report: one attempt
// with the same value, and one more with what the second report brings.
func TestForward_ReplayOfStableToken(t *testing.T) {
	up := newWeChat(t, staleUntil(2, `{"errcode":40001}`))
	src := platform()
	src.sticky[own] = 1
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	got := s.call(t, "POST", "/cgi-bin/menu/create", "x", "X-Wechat-Appid: "+own)
	if got.body != `{"errcode":0,"got":"x"}` || up.calls.Load() != 3 || src.reports != 2 {
		t.Errorf("%q after %d calls and %d reports", got.body, up.calls.Load(), src.reports)
	}
}

// 400 calls that meet the same stale token cause one renewal, and each is cured.
func TestForward_ReplayOfMany(t *testing.T) {
	var gate sync.WaitGroup
	const calls = 400
	gate.Add(calls)
	up := newWeChat(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("access_token") == "tok-authorizer-"+merchant+"-1" {
			gate.Done()
			gate.Wait() // all are under way with the old token
			io.WriteString(w, `{"errcode":40001}`)
			return
		}
		io.WriteString(w, okAnswer)
	})
	src := platform()
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	var wg sync.WaitGroup
	// The apps' ends are no sockets: with those, the test would need more open files
	// than some machines allow, and wait for the call that is missing.
	apps := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		app, ours := net.Pipe()
		wg.Go(func() { s.serveConn(ours) })
		return app, nil
	}}
	s.client.Transport = apps
	var answered sync.WaitGroup
	for range calls {
		answered.Go(func() {
			if got := s.call(t, "POST", "/cgi-bin/message/custom/send", "x", forMerchant()); got.body != okAnswer {
				t.Errorf("%d %q %v", got.status, got.body, got.err)
			}
		})
	}
	answered.Wait()
	apps.CloseIdleConnections()
	wg.Wait()
	if up.calls.Load() != 2*calls || src.renewed != 1 {
		t.Errorf("%d calls, %d renewals; want %d and 1", up.calls.Load(), src.renewed, 2*calls)
	}
}

// A call whose body must be read whole waits for memory like any passing trouble: it
// is not too large.
func TestForward_ReplayMemoryUsedUpForForms(t *testing.T) {
	s := start(t, Options{Source: platform(), Limits: Limits{ReplayMemory: 100}})
	body := `{"grant_type":"client_credential","appid":"` + own + `","secret":"` + strings.Repeat("x", 40) + `"}`
	got := s.call(t, "POST", "/cgi-bin/stable_token", body)
	if got.status != 429 || got.fault() != "too_many_requests" || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, `"errcode":-1,`) {
		t.Errorf("%d %v %q", got.status, got.header, got.body)
	}
}

// The broker judges by what it is told of both refusals of a call.
func TestForward_ReportsBothRefusals(t *testing.T) {
	up := newWeChat(t, staleUntil(99, `{"errcode":42001}`))
	src := platform()
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	s.call(t, "POST", "/cgi-bin/message/custom/send?lang=zh_CN", "x", forMerchant())
	want := broker.Refusal{Errcode: 42001, Path: "/cgi-bin/message/custom/send"}
	again := want
	again.First = src.Now()
	if len(src.refusals) != 2 || src.refusals[0] != want || src.refusals[1] != again {
		t.Errorf("reported %+v", src.refusals)
	}
}

// A token that was obtained before the first refusal, and is refused as well, has been
// displaced too: the call is sent with the next one.
func TestForward_ReplayOfATokenThatIsDisplacedAsWell(t *testing.T) {
	up := newWeChat(t, staleUntil(3, `{"errcode":40001}`))
	src := platform()
	src.displaced = 2
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	got := s.call(t, "POST", "/cgi-bin/message/custom/send", "x", forMerchant())
	if got.body != `{"errcode":0,"got":"x"}` || up.calls.Load() != 3 {
		t.Errorf("%q after %d calls", got.body, up.calls.Load())
	}
	up = newWeChat(t, staleUntil(9999, `{"errcode":40001}`))
	src.displaced = 1000
	s = start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}})
	if got := s.call(t, "POST", "/cgi-bin/message/custom/send", "x", forMerchant()); got.body != `{"errcode":40001}` || up.calls.Load() != 4 {
		t.Errorf("%q after %d calls, want four at most", got.body, up.calls.Load())
	}
}

// A call whose body was not kept is not sent again, so the broker judges by the next one.
func TestForward_ReportsWhatIsNotSentAgain(t *testing.T) {
	up := newWeChat(t, staleUntil(2, `{"errcode":40001}`))
	src := platform()
	s := start(t, Options{Source: src, Upstream: UpstreamOptions{URL: up.URL}, Limits: Limits{ReplayBody: 8 << 10}})
	s.call(t, "POST", "/cgi-bin/media/upload", strings.Repeat("b", 9<<10), forMerchant())
	want := broker.Refusal{Errcode: 40001, Path: "/cgi-bin/media/upload", Final: true}
	if up.calls.Load() != 1 || len(src.refusals) != 1 || src.refusals[0] != want {
		t.Errorf("%d calls, reported %+v", up.calls.Load(), src.refusals)
	}
}
