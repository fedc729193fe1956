package wechattest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// outcome is what a client sees of one call.
type outcome struct {
	status int
	body   string
	err    error
}

func get(rt http.RoundTripper, url string) outcome {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return outcome{err: err}
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return outcome{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return outcome{resp.StatusCode, string(body), err}
}

// roads are the three ways to reach a server.
func roads(t *testing.T, s *wechattest.Server, test func(t *testing.T, rt http.RoundTripper, base string)) {
	t.Run("memory", func(t *testing.T) { test(t, s.Transport(), "https://api.weixin.qq.com") })
	client := &http.Transport{DisableKeepAlives: true}
	t.Run("http", func(t *testing.T) {
		defer s.Close()
		test(t, client, s.Start())
	})
	t.Run("tls", func(t *testing.T) {
		defer s.Close()
		test(t, trusting(s), s.StartTLS())
	})
}

func trusting(s *wechattest.Server) *http.Transport {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CACertPEM())
	return &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
}

func TestFault_Broken(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	path := "/cgi-bin/menu/get?access_token=" + w.authorizerToken()
	const whole = `{"errcode":0,"errmsg":"ok"}`
	f := func(mode wechattest.Mode, status int, body string, broken bool) {
		t.Run(string(mode), func(t *testing.T) {
			roads(t, w.Server, func(t *testing.T, rt http.RoundTripper, base string) {
				w.Fault("/cgi-bin/menu/*", wechattest.Fault{Mode: mode, Times: 1})
				got := get(rt, base+path)
				if got.status != status || got.body != body || (got.err != nil) != broken {
					t.Errorf("got status %d, body %q, error %v", got.status, got.body, got.err)
				}
				if after := get(rt, base+path); after.body != whole {
					t.Errorf("after the fault: %+v", after)
				}
			})
		})
	}
	half := whole[:len(whole)/2]
	f(wechattest.Refuse, 0, "", true)
	f(wechattest.ResetBefore, 0, "", true)
	f(wechattest.ResetAfter, 0, "", true)
	f(wechattest.Close, 0, "", true)
	f(wechattest.Truncate, 200, half, true)
	f(wechattest.TruncateChunked, 200, half, true)
	f(wechattest.TruncateSilent, 200, half, false)
	f(wechattest.HTML, 200, "<!DOCTYPE html><html><body>Bad gateway</body></html>", false)
	f(wechattest.Empty, 200, "", false)
	f(wechattest.BOM, 200, "\xef\xbb\xbf"+whole, false)
	f(wechattest.NullJSON, 200, "null", false)
}

// A reset may overtake bytes that were sent before it, so only the failure is
// certain.
func TestFault_ResetAmidAnswer(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	path := "/cgi-bin/menu/get?access_token=" + w.authorizerToken()
	for _, mode := range []wechattest.Mode{wechattest.ResetHeaders, wechattest.ResetBody} {
		roads(t, w.Server, func(t *testing.T, rt http.RoundTripper, base string) {
			w.Fault("", wechattest.Fault{Mode: mode, Times: 1})
			if got := get(rt, base+path); got.err == nil {
				t.Errorf("%s: no error, %+v", mode, got)
			}
		})
	}
}

func TestFault_MemoryErrors(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	f := func(mode wechattest.Mode, want error) {
		t.Helper()
		w.Fault("", wechattest.Fault{Mode: mode, Times: 1})
		if got := get(w.rt, "https://api.weixin.qq.com/x"); !errors.Is(got.err, want) {
			t.Errorf("%s: error %v, want %v", mode, got.err, want)
		}
	}
	f(wechattest.Refuse, syscall.ECONNREFUSED)
	f(wechattest.ResetAfter, syscall.ECONNRESET)
	f(wechattest.Close, io.EOF)
	f(wechattest.Truncate, io.ErrUnexpectedEOF)
	f(wechattest.ResetBody, syscall.ECONNRESET)
}

func TestFault_Answers(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	path := "/cgi-bin/menu/get?access_token=" + w.authorizerToken()
	roads(t, w.Server, func(t *testing.T, rt http.RoundTripper, base string) {
		w.Fault("/cgi-bin/menu/get", wechattest.Fault{Errcode: 40001, Times: 2})
		w.Fault("/cgi-bin/menu/get", wechattest.Fault{Status: 502, Times: 1})
		w.Fault("/cgi-bin/menu/get", wechattest.Fault{Status: 302, Times: 1})
		w.Fault("/cgi-bin/menu/get", wechattest.Fault{Body: "hello", Chunked: true, Times: 1})
		w.Fault("/cgi-bin/menu/get", wechattest.Fault{Raw: "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", Times: 1})
		f := func(status int, part string) {
			t.Helper()
			got := get(rt, base+path)
			if got.err != nil || got.status != status || !strings.Contains(got.body, part) {
				t.Errorf("got %+v, want status %d and %q", got, status, part)
			}
		}
		f(200, `"errcode":40001`)
		f(200, `"errcode":40001`)
		f(502, "Bad Gateway")
		f(302, "Found")
		f(200, "hello")
		f(299, "hi")
		f(200, `"errcode":0`)
	})
}

func TestFault_SpoiltAccounts(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	token := w.componentToken()
	f := func(call, body string, mode wechattest.Mode, part string) {
		t.Helper()
		path := "/cgi-bin/component/" + call
		w.Fault(path, wechattest.Fault{Mode: mode, Times: 1})
		_, got := w.do(request(http.MethodPost, path+"?component_access_token="+token, body))
		if !strings.Contains(string(got), part) {
			t.Errorf("%s: %s has no %s", mode, got, part)
		}
	}
	list, info := `{"component_appid":"`+platform+`","offset":0,"count":500}`, `{"component_appid":"`+platform+`","authorizer_appid":"`+merchant+`"}`
	f("api_get_authorizer_list", list, wechattest.CountsAsText, `"total_count":"1"`)
	f("api_get_authorizer_list", list, wechattest.CountsAsText, `"auth_time":"`)
	f("api_get_authorizer_list", list, wechattest.ListItemBad, `"authorizer_appid":"","refresh_token":"`)
	f("api_get_authorizer_info", info, wechattest.TextsRaw, " \t\n\x07\\S")
}

func TestFault_SpoiltTokens(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	issued := 0
	f := func(mode wechattest.Mode, part string) {
		t.Helper()
		w.Fault("/cgi-bin/token", wechattest.Fault{Mode: mode, Times: 1})
		_, body := w.do(request(http.MethodGet, plainTarget(), ""))
		if !strings.Contains(string(body), part) {
			t.Errorf("%s: %s has no %s", mode, body, part)
		}
		issued++
		if got := w.TokensIssued(own); got != issued {
			t.Errorf("%s: %d tokens issued, want %d", mode, got, issued)
		}
	}
	f(wechattest.ExpiresZero, `"expires_in":0}`)
	f(wechattest.ExpiresNegative, `"expires_in":-1}`)
	f(wechattest.ExpiresHuge, `"expires_in":1000000000}`)
	f(wechattest.ExpiresString, `"expires_in":"7200"}`)
	f(wechattest.ExpiresFloat, `7200.5`)
	f(wechattest.ExpiresExponent, `"expires_in":7200e0}`)
	f(wechattest.ExpiresNaN, `NaN`)
	f(wechattest.ExpiresMissing, `"}`)
	f(wechattest.TokenCRLF, `abc\r\nX-Injected`)
	f(wechattest.TokenLong, strings.Repeat("A", 10<<10))
	f(wechattest.TokenEmpty, `"access_token":""`)
	f(wechattest.TokenNumber, `"access_token":12345`)
	f(wechattest.TokenMissing, `{"expires_in":7200}`)
	f(wechattest.DuplicateKeys, `","access_token":"DDD`)
	f(wechattest.ErrcodeZeroAdded, `{"errcode":0,"errmsg":"ok","access_token"`)
	w.Fault("/cgi-bin/token", wechattest.Fault{Mode: wechattest.HTML, Times: 1})
	w.do(request(http.MethodGet, plainTarget(), ""))
	if w.TokensIssued(own) != issued {
		t.Error("garbage without Effect issued a token")
	}
	w.Fault("/cgi-bin/token", wechattest.Fault{Mode: wechattest.HTML, Effect: true, Times: 1})
	w.do(request(http.MethodGet, plainTarget(), ""))
	if w.TokensIssued(own) != issued+1 {
		t.Error("garbage with Effect issued no token")
	}
	var valid map[string]any
	w.Fault("/cgi-bin/menu/get", wechattest.Fault{Errcode: 40001, Mode: wechattest.ErrcodeAsText, Times: 1})
	_, body := w.do(request(http.MethodGet, "/cgi-bin/menu/get", ""))
	if err := json.Unmarshal(body, &valid); err != nil || valid["errcode"] != "40001" {
		t.Errorf("errcode as a text: %s", body)
	}
}

func TestFault_Narrowed(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	w.AddAuthorizer(platform, "wxsecond")
	component := w.componentToken()
	refresh := func(appID string) int {
		code, _ := w.post("/cgi-bin/component/api_authorizer_token?component_access_token="+component, map[string]any{
			"component_appid": platform, "authorizer_appid": appID, "authorizer_refresh_token": w.RefreshToken(platform, appID),
		})
		return code
	}
	w.Fault("/cgi-bin/component/*", wechattest.Fault{Errcode: -1, AppID: merchant})
	w.wantCode("the account meant", refresh(merchant), -1)
	w.wantCode("another account", refresh("wxsecond"), 0)
	w.ClearFaults()
	w.Fault("/cgi-bin/component/*", wechattest.Fault{Errcode: -1, Component: other})
	w.wantCode("another component", refresh(merchant), 0)
	w.ClearFaults()
	w.Fault("/cgi-bin/*", wechattest.Fault{Errcode: -1, Component: platform})
	w.wantCode("the component meant, by its token", refresh(merchant), -1)
	w.wantCode("a token given for it", w.menu(w.CurrentToken(merchant)), -1)
	code, _ := w.post("/cgi-bin/component/api_component_token", map[string]any{"component_appid": platform})
	w.wantCode("by its appid", code, -1)
	w.ClearFaults()
	w.Fault("", wechattest.Fault{Mode: wechattest.Refuse, Host: "api.weixin.qq.com"})
	if got := get(w.rt, "https://api.weixin.qq.com/x"); got.err == nil {
		t.Error("the host meant answers")
	}
	if got := get(w.rt, "https://api2.weixin.qq.com/x"); got.err != nil {
		t.Errorf("another host: %v", got.err)
	}
}

func TestFault_Probability(t *testing.T) {
	w := newWorld(t, wechattest.Options{Seed: 42})
	w.Fault("/x", wechattest.Fault{Status: 500, Probability: 0.25})
	failed := 0
	for range 1000 {
		if get(w.rt, "https://api.weixin.qq.com/x").status == 500 {
			failed++
		}
	}
	if failed < 200 || failed > 300 {
		t.Errorf("%d of 1000 calls failed, want about 250", failed)
	}
}

func TestFault_WaitsInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechattest.Options{})
		start := time.Now()
		w.Fault("", wechattest.Fault{Latency: time.Minute})
		w.Fault("/x", wechattest.Fault{Latency: time.Second, Body: "abc", Drip: time.Hour})
		got := get(w.rt, "https://api.weixin.qq.com/x")
		if got.body != "abc" || time.Since(start) != 3*time.Hour+time.Minute+time.Second {
			t.Errorf("%+v after %v", got, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.Fault("/y", wechattest.Fault{Mode: wechattest.Hang})
		_, err := w.rt.RoundTrip(request(http.MethodGet, "/y", "").WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hang with a deadline: %v", err)
		}
		w.ClearFaults()
		w.Fault("/y", wechattest.Fault{Mode: wechattest.Hang})
		go func() {
			time.Sleep(time.Hour)
			w.ClearFaults()
		}()
		if got := get(w.rt, "https://api.weixin.qq.com/y"); !errors.Is(got.err, syscall.ECONNRESET) {
			t.Errorf("hang let go: %+v", got)
		}
	})
}

func TestFault_LostAnswerTakesEffect(t *testing.T) {
	w := newWorld(t, wechattest.Options{RotateRefreshTokens: true})
	component, refresh := w.componentToken(), w.RefreshToken(platform, merchant)
	w.Fault("/cgi-bin/component/api_authorizer_token", wechattest.Fault{Mode: wechattest.ResetAfter, Effect: true, Times: 1})
	req := request(http.MethodPost, "/cgi-bin/component/api_authorizer_token?component_access_token="+component,
		`{"component_appid":"`+platform+`","authorizer_appid":"`+merchant+`","authorizer_refresh_token":"`+refresh+`"}`)
	if _, err := w.rt.RoundTrip(req); err == nil {
		t.Fatal("the answer arrived")
	}
	code, _ := w.refreshCall(component, refresh)
	w.wantCode("the refresh token whose successor was lost", code, 61023)
	w.noViolations()
}

func TestListener_OutageAndCertificates(t *testing.T) {
	w := newWorld(t, wechattest.Options{})
	base := w.StartTLS()
	defer w.Close()
	f := func(what string, wantErr bool) {
		t.Helper()
		if got := get(trusting(w.Server), base+"/x"); (got.err != nil) != wantErr {
			t.Errorf("%s: %+v", what, got)
		}
	}
	f("in order", false)
	if err := w.Outage(true); err != nil {
		t.Fatal(err)
	}
	f("outage", true)
	if got := get(w.rt, "https://api.weixin.qq.com/x"); !errors.Is(got.err, syscall.ECONNREFUSED) {
		t.Errorf("outage in memory: %+v", got)
	}
	if err := w.Outage(false); err != nil {
		t.Fatal(err)
	}
	f("after the outage", false)
	for _, c := range []wechattest.Certificate{wechattest.CertExpired, wechattest.CertWrongName, wechattest.CertUnknownCA} {
		if err := w.ShowCertificate(c); err != nil {
			t.Fatal(err)
		}
		f(string(c), true)
	}
	if err := w.ShowCertificate("nonsense"); err == nil {
		t.Error("a certificate that does not exist was accepted")
	}
	if err := w.ShowCertificate(wechattest.CertGood); err != nil {
		t.Fatal(err)
	}
	f("good again", false)
	if _, err := w.Listen("127.0.0.1:0", false); err == nil {
		t.Error("the server listens twice")
	}
}

func TestListener_WireHeaders(t *testing.T) {
	w := newWorld(t, wechattest.Options{Now: func() time.Time { return time.Unix(1700000000, 0) }})
	w.SkewDate(-time.Hour)
	w.Start()
	defer w.Close()
	client := &http.Transport{DisableKeepAlives: true}
	req, _ := http.NewRequest(http.MethodGet, "http://"+w.Addr()+"/sns/auth", nil)
	resp, err := client.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Date"); got != "Tue, 14 Nov 2023 21:13:20 GMT" {
		t.Errorf("Date is %q", got)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/plain" {
		t.Errorf("Content-Type is %q", got)
	}
	if line, _ := bufio.NewReader(resp.Body).ReadString('\n'); !strings.HasPrefix(line, `{"errcode":41001,`) {
		t.Errorf("body %q", line)
	}
}

func TestServer_ManyAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t, wechattest.Options{})
	token := w.authorizerToken()
	base := w.Start()
	client := &http.Transport{MaxIdleConnsPerHost: 400}
	var group sync.WaitGroup
	for range 400 {
		group.Go(func() {
			if got := get(client, base+"/cgi-bin/menu/get?access_token="+token); got.body != `{"errcode":0,"errmsg":"ok"}` {
				t.Errorf("over the wire: %+v", got)
			}
			if got := get(w.rt, "https://api.weixin.qq.com"+plainTarget()); got.status != 200 {
				t.Errorf("in memory: %+v", got)
			}
		})
	}
	group.Wait()
	client.CloseIdleConnections()
	w.Close()
	if got := w.Calls("/cgi-bin/menu/get"); got != 400 {
		t.Errorf("%d calls counted, want 400", got)
	}
	if got := w.CallsFor("/cgi-bin/token", own); got != 400 {
		t.Errorf("%d token calls counted, want 400", got)
	}
	w.noViolations()
}
