package wechat_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	component  = "wx7f00c0de00000001"
	authorizer = "wxa000000000000001"
	account    = "wx00000000000000aa"
)

var (
	componentSecret = secret.New("component-secret-of-32-characters")
	accountSecret   = secret.New("account-secret-of-thirty-two-char")
)

func simulated(t *testing.T) (*wechattest.Server, *wechat.Client) {
	t.Helper()
	sim := wechattest.New(wechattest.Options{Seed: 1})
	sim.AddComponent(wechattest.Component{AppID: component, Secret: componentSecret.Reveal()})
	sim.AddAuthorizer(component, authorizer)
	sim.AddAccount(account, accountSecret.Reveal())
	client, err := wechat.New(wechat.Options{Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return sim, client
}

func TestClient_EveryCall(t *testing.T) {
	sim, c := simulated(t)
	ctx := t.Context()
	if err := c.StartPushTicket(ctx, component, componentSecret); err != nil {
		t.Fatal(err)
	}
	ct, err := c.ComponentToken(ctx, component, componentSecret, secret.New(sim.NewTicket(component)))
	if err != nil || ct.Life != 2*time.Hour {
		t.Fatalf("component token: life %s, %v", ct.Life, err)
	}
	list, err := c.AuthorizerList(ctx, component, ct.Token, 0)
	page := list.Authorizers
	if err != nil || list.Total != 1 || list.Skipped != 0 || len(page) != 1 || page[0].AppID != authorizer || page[0].RefreshToken.IsZero() || page[0].AuthorizedAt.IsZero() {
		t.Fatalf("list: %+v, %v", list, err)
	}
	info, err := c.AuthorizerInfo(ctx, component, ct.Token, authorizer)
	if err != nil || !info.RefreshToken.Equal(page[0].RefreshToken) || info.Name == "" || info.Avatar == "" || info.MiniProgram || len(info.Rights) != 4 {
		t.Fatalf("info: %+v, %v", info, err)
	}
	at, err := c.AuthorizerToken(ctx, component, ct.Token, authorizer, info.RefreshToken)
	if err != nil || at.Token.IsZero() || at.RefreshToken.IsZero() {
		t.Fatalf("authorizer token: %+v, %v", at, err)
	}
	x, err := c.QueryAuth(ctx, component, ct.Token, secret.New(sim.Authorize(component, authorizer)))
	if err != nil || x.Authorizer.AppID != authorizer || x.Grant.Token.IsZero() || !strings.Contains(string(x.Answer), "func_info") {
		t.Fatalf("exchange: %+v, %v", x.Authorizer, err)
	}
	if kept, err := wechat.ReadExchange(x.Answer); err != nil || kept.Authorizer.AppID != authorizer || !kept.Grant.Token.Equal(x.Grant.Token) {
		t.Errorf("the same exchange from its answer: %+v, %v", kept.Authorizer, err)
	}
	if pre, err := c.PreAuthCode(ctx, component, ct.Token); err != nil || pre.Life != 10*time.Minute || !strings.HasPrefix(pre.Token.Reveal(), "preauthcode") {
		t.Errorf("pre_auth_code: life %s, %v", pre.Life, err)
	}
	if err := c.SendText(ctx, x.Grant.Token, "oUser", `a "text"`); err != nil {
		t.Error(err)
	}
	if m, err := sim.AwaitCustomerMessage(ctx, "oUser"); err != nil || m.AppID != authorizer || m.Content != `a "text"` {
		t.Errorf("customer message %+v, %v", m, err)
	}
	st, err := c.StableToken(ctx, account, accountSecret, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"jsapi", "wx_card"} {
		if g, err := c.Ticket(ctx, st.Token, kind); err != nil || g.Life != 2*time.Hour {
			t.Errorf("%s: %+v, %v", kind, g, err)
		}
	}
	if err := c.Probe(ctx); err != nil {
		t.Errorf("probe: %v", err)
	}
}

func TestClient_WeChatsRefusal(t *testing.T) {
	_, c := simulated(t)
	_, err := c.StableToken(t.Context(), account, secret.New("wrong"), false)
	var api *wechat.APIError
	if !errors.As(err, &api) || api.Path != "/cgi-bin/stable_token" || !api.Misconfigured() && api.Code != wechat.CodeInvalidCredential {
		t.Errorf("a wrong secret: %v", err)
	}
	_, err = c.ComponentToken(t.Context(), component, componentSecret, secret.New("no-such-ticket"))
	if !errors.As(err, &api) || !api.TicketRefused() {
		t.Errorf("a wrong ticket: %v", err)
	}
}

// answering returns a client of a server that always gives this answer.
func answering(t *testing.T, status int, body string) *wechat.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	c, err := wechat.New(wechat.Options{URLs: []string{srv.URL}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClient_UnusableAnswers(t *testing.T) {
	const token = `"access_token":"0123456789abcdef"`
	f := func(status int, body, want string) {
		t.Helper()
		_, err := answering(t, status, body).StableToken(t.Context(), account, accountSecret, false)
		var bad *wechat.BadAnswerError
		if !errors.As(err, &bad) || !strings.Contains(bad.Reason, want) {
			t.Errorf("%s: %v, want a reason with %q", body, err, want)
		}
	}
	f(502, `{`+token+`,"expires_in":7200}`, "status is not 200")
	f(200, ``, "not a JSON object")
	f(200, `<html>`, "not a JSON object")
	f(200, `[]`, "not a JSON object")
	f(200, `null`, "not a JSON object")
	f(200, `{`+token+`,"expires_in":7200`, "cut off")
	f(200, `{`+token+`,"expires_in":7200}{}`, "more after")
	f(200, `{`+token+`,"expires_in":7200,"access_token":"another"}`, "access_token occurs in it twice")
	f(200, `{`+token+`,"expires_in":7200,"expires_in":7201}`, "expires_in occurs in it twice")
	f(200, `{"errcode":0,`+token+`,"expires_in":7200,"errcode":40001}`, "errcode occurs in it twice")
	f(200, `{"ACCESS_TOKEN":"0123456789abcdef","expires_in":7200}`, "access_token is missing")
	f(200, `{`+token+`}`, "expires_in is missing")
	f(200, `{`+token+`,"expires_in":0}`, "expires_in is 0")
	f(200, `{`+token+`,"expires_in":-1}`, "expires_in is -1")
	f(200, `{`+token+`,"expires_in":86401}`, "expires_in is 86401")
	f(200, `{`+token+`,"expires_in":null}`, "expires_in is missing")
	f(200, `{`+token+`,"expires_in":""}`, "expires_in is missing")
	f(200, `{`+token+`,"expires_in":0.5}`, "expires_in is 0")
	f(200, `{`+token+`,"expires_in":"-7200"}`, "expires_in is -7200")
	f(200, `{`+token+`,"expires_in":1e30}`, "expires_in is not a number")
	f(200, `{`+token+`,"expires_in":"0x1p12"}`, "expires_in is not a number")
	f(200, `{`+token+`,"expires_in":"two hours"}`, "expires_in is not a number")
	f(200, `{`+token+`,"expires_in":[7200]}`, "expires_in is not a number")
	f(200, `{`+token+`,"expires_in":NaN}`, "broken")
	f(200, `{`+token+`,"expires_in":7200,"x":`+strings.Repeat(`[`, 1<<20)+`}`, "broken")
	f(200, `{"access_token":null,"expires_in":7200}`, "access_token is missing")
	f(200, `{"access_token":12345,"expires_in":7200}`, "access_token is not a text")
	f(200, "{\"access_token\":\"a\tb\",\"expires_in\":7200}", "no token has")
	f(200, `{"expires_in":7200}`, "access_token is missing")
	f(200, `{"access_token":"a\r\nb","expires_in":7200}`, "no token has")
	f(200, `{"access_token":"`+strings.Repeat("x", 3000)+`","expires_in":7200}`, "longer than")
	f(200, `{"errcode":"broken","errmsg":"x"}`, "errcode is not a number")
	f(200, `{"errcode":{},"errmsg":"x"}`, "errcode is not a number")
	f(200, `{"access_token":"`+strings.Repeat("x", 3<<20)+`","expires_in":7200}`, "longer than")
}

func TestClient_ErrmsgShowsNoSecret(t *testing.T) {
	const hidden = "a-very-secret-text"
	c := answering(t, 200, `{"errcode":40001,"errmsg":"the secret `+hidden+` is\nwrong rid: 1"}`)
	f := func(call string, err error) {
		t.Helper()
		if text := err.Error(); strings.Contains(text, hidden) || strings.Contains(text, "\n") || !strings.Contains(text, "rid: 1") {
			t.Errorf("%s: %q", call, text)
		}
	}
	_, err := c.StableToken(t.Context(), account, secret.New(hidden), false)
	f("a secret in the body", err)
	f("a text", c.SendText(t.Context(), secret.New("a-token"), "oUser", hidden))
	f("a token in the query", c.SendText(t.Context(), secret.New(hidden), "oUser", "text"))
}

func TestClient_NoAnswerShowsNoToken(t *testing.T) {
	c, err := wechat.New(wechat.Options{URLs: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Ticket(t.Context(), secret.New("a-very-secret-token"), "jsapi")
	var silent *wechat.NoAnswerError
	if !errors.As(err, &silent) || strings.Contains(err.Error(), "a-very-secret-token") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Ticket(ctx, secret.New("a-very-secret-token"), "jsapi"); !errors.As(err, &silent) {
		t.Errorf("%v", err)
	}
}

// What net/http cannot read it quotes: from a peer that sends back what it gets, the
// call itself.
func TestClient_UnreadableAnswersShowNoSecret(t *testing.T) {
	const token = "ticket@@@a-very-secret-token"
	mirror := func(got string) string { return got }
	status := func(got string) string { return "HTTP/1.1 " + got[strings.LastIndex(got, "\n")+1:] + "\r\n\r\n" }
	header := func(got string) string { return "HTTP/1.1 200 OK\r\n" + got + "\r\n\r\n" }
	for name, answer := range map[string]func(string) string{"mirror": mirror, "status": status, "header": header} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					body, _ := io.ReadAll(req.Body)
					_, _ = io.WriteString(conn, answer("GET "+req.RequestURI+" HTTP/1.1\r\n\r\n"+string(body)))
				}
				conn.Close()
			}
		}()
		c, err := wechat.New(wechat.Options{URLs: []string{"http://" + l.Addr().String()}})
		if err != nil {
			t.Fatal(err)
		}
		_, inQuery := c.Ticket(t.Context(), secret.New(token), "jsapi")
		_, inBody := c.ComponentToken(t.Context(), component, secret.New("a-very-secret-secret"), secret.New(token))
		for _, err := range []error{inQuery, inBody} {
			if err == nil || strings.Contains(err.Error(), "a-very-secret") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestClient_NextHostAfterSilence(t *testing.T) {
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		_, _ = w.Write([]byte(`{"access_token":"0123456789abcdef","expires_in":7200}`))
	}))
	t.Cleanup(srv.Close)
	c, err := wechat.New(wechat.Options{URLs: []string{"http://127.0.0.1:1", srv.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StableToken(t.Context(), account, accountSecret, false); err == nil {
		t.Fatal("the first host answered")
	}
	for range 3 {
		if _, err := c.StableToken(t.Context(), account, accountSecret, false); err != nil {
			t.Error(err)
		}
	}
	if calls != 3 {
		t.Errorf("the second host was called %d times, want 3: one attempt each", calls)
	}
}

// A call that its caller gives up says nothing against the host.
func TestClient_GivingUpCountsAgainstNoHost(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	var dialled []string
	c, err := wechat.New(wechat.Options{
		URLs: []string{"http://one.example", "http://two.example"},
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			giveUp()
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Probe(ctx); err == nil {
			t.Error("an answer")
		}
		ctx, giveUp = context.WithCancel(t.Context())
	}
	giveUp()
	if want := []string{"one.example:80", "one.example:80"}; !slices.Equal(dialled, want) {
		t.Errorf("dialled %v, want %v", dialled, want)
	}
}

func TestClient_RedirectsAreNotFollowed(t *testing.T) {
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	t.Cleanup(other.Close)
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(srv.Close)
	c, err := wechat.New(wechat.Options{URLs: []string{srv.URL}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.StableToken(t.Context(), account, accountSecret, false)
	var bad *wechat.BadAnswerError
	if !errors.As(err, &bad) || bad.Status != http.StatusTemporaryRedirect || followed {
		t.Errorf("%v, followed: %t", err, followed)
	}
}

func TestNew_RefusesOddURLs(t *testing.T) {
	for _, u := range []string{"", "api.weixin.qq.com", "ftp://api.weixin.qq.com", "https://api.weixin.qq.com/cgi-bin", "https://"} {
		if _, err := wechat.New(wechat.Options{URLs: []string{u}}); err == nil || !strings.Contains(err.Error(), "upstream.url") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// proxyFault is an error of the way out, as Options.Dial gives it.
type proxyFault struct{ elsewhere bool }

func (f proxyFault) Error() string     { return "credentials refused (upstream.proxy)" }
func (f proxyFault) ProxyFailed() bool { return f.elsewhere }

// The way out that fails is no fault of the host's: the next call asks the same one,
// unless the proxy says that it is this host that it does not reach.
func TestClient_ProxyFaultCountsAgainstNoHost(t *testing.T) {
	f := func(err error, wantProxy bool, want ...string) {
		t.Helper()
		var dialled []string
		c, fault := wechat.New(wechat.Options{
			URLs: []string{"http://one.example", "http://two.example"},
			Dial: func(_ context.Context, _, address string) (net.Conn, error) {
				dialled = append(dialled, address)
				return nil, err
			},
		})
		if fault != nil {
			t.Fatal(fault)
		}
		for range 3 {
			var silent *wechat.NoAnswerError
			if err := c.Probe(t.Context()); !errors.As(err, &silent) || silent.Proxy != wantProxy {
				t.Errorf("%v", err)
			}
		}
		if !slices.Equal(dialled, want) {
			t.Errorf("%v: dialled %v, want %v", err, dialled, want)
		}
	}
	const one, two = "one.example:80", "two.example:80"
	f(proxyFault{}, true, one, one, one)
	f(proxyFault{elsewhere: true}, true, one, two, one)
	f(io.ErrUnexpectedEOF, false, one, two, one)
}
