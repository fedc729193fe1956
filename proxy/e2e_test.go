package proxy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/metrics"
)

// world is a sidecar with the real broker before a simulated WeChat.
type world struct {
	*sidecar
	sim    *wechattest.Server
	broker *broker.Broker
	url    string
	keys   *seal.Keyring
	said   strings.Builder // everything that apps were answered
	mu     sync.Mutex
}

const appSecret = "the-secret-0123456789"

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{sim: wechattest.New(wechattest.Options{KeepRequests: 1 << 14})}
	w.sim.AddComponent(wechattest.Component{AppID: component, Secret: appSecret})
	w.sim.AddAuthorizer(component, merchant)
	w.sim.AddAuthorizer(component, merchant2)
	w.sim.AddAccount(own, appSecret)
	w.broker, w.url, w.keys = runBroker(t, w.sim, broker.Options{
		Components: []broker.ComponentConfig{{AppID: component, Secret: secret.New(appSecret)}},
		Accounts:   []broker.AccountConfig{{AppID: own, Secret: secret.New(appSecret)}},
	})
	t.Cleanup(func() { w.check(t) })
	pushTicket(t, w.broker, w.sim)
	o.Source, o.Exchange, o.Upstream.URL, o.HandleKeys = w.broker, w.broker, w.url, w.keys.Derive("handles")
	w.sidecar = start(t, o)
	return w
}

// pushTicket is what WeChat does every ten minutes.
func pushTicket(t testing.TB, b *broker.Broker, sim *wechattest.Server) {
	t.Helper()
	push := wechat.Push{
		ID: "1", Component: component, InfoType: wechat.InfoTicket,
		CreateTime: time.Now(), Ticket: secret.New(sim.NewTicket(component)),
	}
	if err := b.HandlePush(t.Context(), push); err != nil {
		t.Fatal(err)
	}
}

// runBroker runs a broker before the simulator until the test ends.
func runBroker(t testing.TB, sim *wechattest.Server, o broker.Options) (*broker.Broker, string, *seal.Keyring) {
	t.Helper()
	url := sim.Start()
	client, err := wechat.New(wechat.Options{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.New(make([]byte, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	o.WeChat, o.Store, o.Seal, o.Metrics = client, memstore.New(memstore.Options{}), keys, metrics.New("test")
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		sim.Close()
	})
	return b, url, keys
}

// check looks for WeChat's secrets in all that apps saw and that was logged, and
// for what a good client never does.
func (w *world) check(t *testing.T) {
	for _, one := range w.sim.Secrets() {
		if strings.Contains(w.said.String(), one) || strings.Contains(w.logged.String(), one) {
			t.Errorf("a secret of WeChat's shows")
		}
	}
	for _, v := range w.sim.Violations() {
		t.Errorf("WeChat saw: %s", v)
	}
}

func (w *world) call(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	got := w.sidecar.call(t, method, path, body, headers...)
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintln(&w.said, got.body, got.header)
	return got
}

// fine makes a call that must come back without an error.
func (w *world) fine(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	got := w.call(t, method, path, body, headers...)
	if got.err != nil || got.status != 200 || findErrcode([]byte(got.body)) != 0 {
		t.Errorf("%s %s: %d %q %v", method, path, got.status, got.body, got.err)
	}
	return got
}

func TestEndToEnd_TokensDieUnseen(t *testing.T) {
	w := newWorld(t, Options{})
	forOwn := "X-Wechat-Appid: " + own
	all := func(what string) {
		t.Helper()
		t.Log(what)
		w.fine(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
		w.fine(t, "POST", "/cgi-bin/message/custom/send", `{"touser":"o","msgtype":"text","text":{"content":"x"}}`, forMerchant())
		w.fine(t, "GET", "/cgi-bin/menu/get", "", forOwn)
		w.fine(t, "GET", "/wxa/gettemplatelist", "")
		w.fine(t, "POST", "/cgi-bin/component/api_get_authorizer_info", `{"component_appid":"`+component+`","authorizer_appid":"`+merchant+`"}`)
	}
	all("at the start")
	for _, appid := range []string{merchant, own, component} {
		w.sim.ExpireToken(appid)
	}
	all("after every token expired early")
	for _, appid := range []string{merchant, own, component} {
		w.sim.Displace(appid)
	}
	all("after somebody displaced every token")
}

// Many calls that meet one dead token cause one renewal.
func TestEndToEnd_ManyCallsOneRenewal(t *testing.T) {
	w := newWorld(t, Options{})
	w.fine(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	w.sim.ExpireToken(merchant)
	before := w.sim.TokensIssued(merchant)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { w.fine(t, "POST", "/cgi-bin/menu/create", `{"button":[]}`, forMerchant()) })
	}
	wg.Wait()
	if n := w.sim.TokensIssued(merchant) - before; n != 1 {
		t.Errorf("%d renewals, want 1", n)
	}
}

func TestEndToEnd_SDK(t *testing.T) {
	w := newWorld(t, Options{Callers: []Caller{callerOf("shop", "key")}})
	const key = "X-Wxsidecar-Key: key"
	got := decode(t, w.fine(t, "GET", "/cgi-bin/token?grant_type=client_credential&appid="+merchant+"&secret=key", ""))
	w.fine(t, "GET", "/cgi-bin/menu/get?access_token="+got["access_token"].(string), "")
	got = decode(t, w.fine(t, "POST", "/cgi-bin/component/api_component_token", `{"component_appid":"`+component+`","component_appsecret":"key"}`))
	handle := got["component_access_token"].(string)
	w.fine(t, "GET", "/wxa/gettemplatelist?access_token="+handle, "")
	got = decode(t, w.fine(t, "POST", "/cgi-bin/component/api_authorizer_token?component_access_token="+handle,
		`{"component_appid":"`+component+`","authorizer_appid":"`+merchant2+`","authorizer_refresh_token":"APP-x"}`))
	w.fine(t, "GET", "/cgi-bin/menu/get?access_token="+got["authorizer_access_token"].(string), "")
	w.fine(t, "POST", "/cgi-bin/component/api_get_authorizer_list?component_access_token="+handle, `{"component_appid":"`+component+`","offset":0,"count":100}`)
	const fresh = "wx00000000000000a9"
	code := w.sim.Authorize(component, fresh)
	for range 2 { // a code works once, and yet for both
		got = decode(t, w.fine(t, "POST", "/cgi-bin/component/api_query_auth?component_access_token="+handle,
			`{"component_appid":"`+component+`","authorization_code":"`+code+`"}`))
		info := got["authorization_info"].(map[string]any)
		if info["authorizer_refresh_token"] != placeholder {
			t.Errorf("refresh token = %v", info["authorizer_refresh_token"])
		}
		w.fine(t, "GET", "/cgi-bin/menu/get?access_token="+info["authorizer_access_token"].(string), "")
	}
	w.fine(t, "GET", "/sns/jscode2session?appid="+own+"&secret=key&grant_type=authorization_code&js_code="+w.sim.LoginCode(own), "")
	user, openID := w.sim.UserToken(own)
	w.said.Reset() // a user's token is the app's own
	w.sidecar.call(t, "GET", "/sns/userinfo?openid="+openID+"&access_token="+user, "", key)
	ticket := w.sidecar.call(t, "GET", "/cgi-bin/ticket/getticket?type=jsapi", "", key, forMerchant())
	if decode(t, ticket)["ticket"] == "" {
		t.Errorf("ticket: %q", ticket.body)
	}
}

func TestEndToEnd_Revoked(t *testing.T) {
	w := newWorld(t, Options{})
	w.fine(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	w.sim.Revoke(component, merchant)
	push := wechat.Push{ID: "2", Component: component, InfoType: wechat.InfoUnauthorized, CreateTime: time.Now().Add(time.Second), AuthorizerAppID: merchant}
	if err := w.broker.HandlePush(t.Context(), push); err != nil {
		t.Fatal(err)
	}
	if got := w.call(t, "GET", "/cgi-bin/menu/get", "", forMerchant()); got.status != 403 || got.fault() != "unauthorized" {
		t.Errorf("%d %q %q", got.status, got.fault(), got.body)
	}
}
