package authorize_test

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/metrics/metricstest"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
)

const (
	component       = "wx7f00c0de00000001"
	componentSecret = "the-component-secret-0123456789ab"
	merchant        = "wxa000000000000001"
	publicURL       = "https://b.example"
	authorizePath   = "/wechat/" + component + "/authorize"
	preAuthPath     = "/cgi-bin/component/api_create_preauthcode"
	queryAuthPath   = "/cgi-bin/component/api_query_auth"
	infoPath        = "/cgi-bin/component/api_get_authorizer_info"

	pcAgent    = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	phoneAgent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.50"
)

// rig is the pages over a broker with a simulated WeChat, inside a synctest bubble.
type rig struct {
	t       *testing.T
	sim     *wechattest.Server
	broker  *broker.Broker
	pages   *authorize.Pages
	metrics *metrics.Metrics
	log     *logText
}

type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// inRig is inBareRig with a ticket.
func inRig(t *testing.T, f func(t *testing.T, r *rig), change ...func(*authorize.Options)) {
	t.Helper()
	inBareRig(t, func(t *testing.T, r *rig) {
		r.ticket()
		f(t, r)
	}, change...)
}

// inBareRig runs f with a component that has no ticket, and that nobody has authorised.
func inBareRig(t *testing.T, f func(t *testing.T, r *rig), change ...func(*authorize.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, metrics: metrics.New("test"), log: &logText{}}
		r.sim = wechattest.New(wechattest.Options{Now: time.Now, Seed: 1})
		r.sim.AddComponent(wechattest.Component{AppID: component, Secret: componentSecret})
		stop := r.start(change)
		defer stop()
		f(t, r)
		r.check()
	})
}

func (r *rig) start(change []func(*authorize.Options)) (stop func()) {
	r.t.Helper()
	client, err := wechat.New(wechat.Options{Transport: r.sim.Transport()})
	if err != nil {
		r.t.Fatal(err)
	}
	keys, err := seal.New(bytes.Repeat([]byte{7}, 32), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.broker, err = broker.New(broker.Options{
		Components: []broker.ComponentConfig{{AppID: component, Secret: secret.New(componentSecret)}},
		WeChat:     client, Store: memstore.New(memstore.Options{}), Seal: keys, Metrics: r.metrics, Log: log, Now: time.Now,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	o := authorize.Options{Broker: r.broker, PublicURL: publicURL, Keys: keys.Derive("visits"), Metrics: r.metrics, Log: log}
	for _, f := range change {
		f(&o)
	}
	if r.pages, err = authorize.New(o); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.broker.Run(ctx)
	}()
	synctest.Wait()
	return func() {
		cancel()
		<-done
	}
}

func (r *rig) ticket() {
	r.t.Helper()
	err := r.broker.HandlePush(r.t.Context(), wechat.Push{
		ID: "t" + time.Now().String(), Component: component, InfoType: wechat.InfoTicket, CreateTime: time.Now(), Ticket: secret.New(r.sim.NewTicket(component)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// check searches the log for what must never be in it, the metrics for series that nobody
// expects, and WeChat's calls for what a good sidecar never does.
func (r *rig) check() {
	r.t.Helper()
	for _, s := range r.sim.Secrets() {
		if strings.Contains(r.log.String(), s) {
			r.t.Errorf("a secret of %d characters stands in the log:\n%s", len(s), r.log)
		}
	}
	metricstest.WantNoneBorn(r.t, r.metrics)
	for _, v := range r.sim.Violations() {
		r.t.Errorf("WeChat saw what it never should: %s", v)
	}
}

// browser keeps cookies, as one does.
type browser struct {
	r       *rig
	agent   string
	accept  string
	address string
	cookies map[string]*http.Cookie
}

func (r *rig) browser() *browser {
	return &browser{r: r, agent: pcAgent, accept: "text/html", address: "203.0.113.7:40000", cookies: map[string]*http.Cookie{}}
}

// ask makes a request with a method; target is a path and query, or a whole address.
func (b *browser) ask(method, target string, headers ...string) *httptest.ResponseRecorder {
	b.r.t.Helper()
	req := httptest.NewRequest(method, target, nil)
	req.RemoteAddr = b.address
	req.Header.Set("User-Agent", b.agent)
	req.Header.Set("Accept", b.accept)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	for _, c := range b.cookies {
		req.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	w := httptest.NewRecorder()
	b.r.pages.ServeHTTP(w, req)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c
	}
	return w
}

func (b *browser) get(target string, headers ...string) *httptest.ResponseRecorder {
	b.r.t.Helper()
	return b.ask(http.MethodGet, target, headers...)
}

var hrefPattern = regexp.MustCompile(`id="go" class="button" href="([^"]+)"`)

// open opens the first page and returns the link to WeChat.
func (b *browser) open(query string) *url.URL {
	b.r.t.Helper()
	w := b.get(authorizePath + query)
	m := hrefPattern.FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || m == nil {
		b.r.t.Fatalf("%d without a link:\n%s\n%s", w.Code, w.Body, b.r.log)
	}
	u, err := url.Parse(html.UnescapeString(m[1]))
	if err != nil {
		b.r.t.Fatal(err)
	}
	return u
}

// redirected is where WeChat leads back to, after the merchant has confirmed.
func (r *rig) redirected(link *url.URL, code string) string {
	r.t.Helper()
	back, err := url.Parse(link.Query().Get("redirect_uri"))
	if err != nil {
		r.t.Fatal(err)
	}
	query := back.Query()
	query.Set("auth_code", code)
	query.Set("expires_in", "600")
	back.RawQuery = query.Encode()
	return back.String()
}

// want wants a status and texts in the answer.
func (r *rig) want(w *httptest.ResponseRecorder, status int, texts ...string) {
	r.t.Helper()
	if w.Code != status {
		r.t.Errorf("status %d, want %d: %s\n%s", w.Code, status, w.Body, r.log)
	}
	for _, text := range texts {
		if !strings.Contains(html.UnescapeString(w.Body.String()), text) {
			r.t.Errorf("the answer lacks %q:\n%s", text, w.Body)
		}
	}
}

// jsonOf reads an answer in JSON.
func (r *rig) jsonOf(w *httptest.ResponseRecorder) map[string]any {
	r.t.Helper()
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
		r.t.Fatalf("%s: %v: %s", w.Header().Get("Content-Type"), err, w.Body)
	}
	return got
}
