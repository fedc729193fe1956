package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// adminWorld is a running sidecar with a component, its merchants and an own account, and an
// operator who asks its admin listener.
type adminWorld struct {
	t       *testing.T
	sim     *wechattest.Server
	sidecar *sidecar
	config  config.Config
	log     *programLog
	doc     *openAPI
	load    func() *config.Loaded // what a reload reads
	shown   strings.Builder       // all answers
	watched chan error
}

// RoundTrip brings the simulator's pushes to the sidecar.
func (w *adminWorld) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = w.at("push")
	return http.DefaultTransport.RoundTrip(req)
}

// at returns the address of a listener.
func (w *adminWorld) at(name string) string {
	for _, l := range append(slices.Clone(w.sidecar.traffic), w.sidecar.admin...) {
		if l.name() == name {
			return l.address()
		}
	}
	w.t.Fatalf("no listener %s", name)
	return ""
}

func newAdminWorld(t *testing.T, adjust ...func(*adminWorld)) *adminWorld {
	t.Helper()
	w := &adminWorld{t: t, log: &programLog{}, doc: readOpenAPI(t), watched: make(chan error, 1)}
	w.sim = wechattest.New(wechattest.Options{Pusher: w, PushRetry: time.Millisecond})
	t.Cleanup(w.sim.Close)
	c := config.Default()
	c.Listen = config.Listen{Apps: "127.0.0.1:0", Push: "127.0.0.1:0", Metrics: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	c.Components = []config.Component{{AppID: scriptComponent, Secret: secret.New(scriptAppSecret), PushToken: secret.New(scriptPushToken), EncodingAESKey: secret.New(scriptAESKey)}}
	c.Accounts = []config.Account{{AppID: scriptAccount, Secret: secret.New(scriptAppSecret)}}
	c.Push.PublicURL = "https://b.example"
	c.Upstream.URL, c.Upstream.Fallback = w.sim.Start(), nil
	c.DataDir = t.TempDir()
	c.Store = secret.New("bolt:" + c.DataDir + "/wx.db")
	c.Events = []config.Event{{URL: "unix:///nobody.listens"}}
	w.config = c
	w.load = func() *config.Loaded { return &config.Loaded{Config: w.config} }
	w.sim.AddComponent(wechattest.Component{
		AppID: scriptComponent, Secret: scriptAppSecret, PushToken: scriptPushToken, EncodingAESKey: scriptAESKey,
		PushURL: "http://push.invalid/wechat/" + scriptComponent + "/event",
	})
	w.sim.AddAuthorizer(scriptComponent, scriptAuthorizer)
	w.sim.AddAccount(scriptAccount, scriptAppSecret)
	for _, f := range adjust {
		f(w)
	}
	w.start()
	return w
}

func (w *adminWorld) start() {
	w.t.Helper()
	level := &slog.LevelVar{}
	log := newLogger(w.log, config.Log{Level: "info", Format: "json"}, level)
	s, err := newSidecar(w.t.Context(), w.config, log)
	if err != nil {
		w.t.Fatal(err)
	}
	s.control.level = level
	w.sidecar = s
	s.start()
	ctx, cancel := context.WithCancel(context.Background())
	r := &reloader{sidecar: s, config: w.config, load: func() *config.Loaded { return w.load() }, log: log}
	signals := make(chan os.Signal, 1)
	go func() {
		_, err := s.watch(ctx, r, signals)
		w.watched <- err
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-w.watched, s.stop(config.Shutdown{Grace: 30 * time.Second})); err != nil {
			w.t.Error(err)
		}
		w.wantSecretless()
	})
}

// wantSecretless checks that no answer and no line of the log held a secret.
func (w *adminWorld) wantSecretless() {
	w.t.Helper()
	for _, s := range append(w.sim.Secrets(), scriptAppSecret, scriptPushToken, scriptAESKey) {
		if strings.Contains(w.shown.String(), s) || strings.Contains(w.log.String(), s) {
			w.t.Errorf("a secret of %d characters is shown", len(s))
		}
	}
}

// ticket pushes a ticket, and waits until the list of authorizers is read.
func (w *adminWorld) ticket() {
	w.t.Helper()
	if err := w.sim.PushTicket(w.t.Context(), scriptComponent); err != nil {
		w.t.Fatal(err)
	}
	await(w.t, "the list is read", func() bool { return !w.sidecar.broker.Admin().Components()[0].List.Pending })
}

// ask makes a call and returns its status and body, which must be as the document says.
// template is the document's path; vars replace its parts.
func (w *adminWorld) ask(method, template, query, body string, vars ...string) (int, string) {
	w.t.Helper()
	path := strings.NewReplacer(vars...).Replace(template)
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.at("admin")+path+query, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, wrong := range w.doc.check(method, template, res.StatusCode, res.Header.Get("Content-Type"), text) {
		w.t.Errorf("%s %s%s: %d: %s", method, path, query, res.StatusCode, wrong)
	}
	w.shown.Write(text)
	return res.StatusCode, string(text)
}

// want is ask, with the status and a part of the answer that must come.
func (w *adminWorld) want(status int, part, method, template, query, body string, vars ...string) {
	w.t.Helper()
	if got, text := w.ask(method, template, query, body, vars...); got != status || !strings.Contains(text, part) {
		w.t.Errorf("%s %s%s %v: %d %s, want %d with %s", method, template, query, vars, got, text, status, part)
	}
}

// Every operation of the document is called on a running sidecar, and answers as the document
// says; none of the answers that it promises is left out.
func TestAdmin_EveryOperation(t *testing.T) {
	t.Parallel()
	const startTickets = "/cgi-bin/component/api_start_push_ticket"
	w := newAdminWorld(t, func(w *adminWorld) { w.sim.Fault(startTickets, wechattest.Fault{Errcode: 61004}) })
	await(t, "WeChat has refused to push", func() bool { return w.sidecar.broker.Admin().Components()[0].Ticket.Refused != "" })
	component, account, own := []string{"{appid}", scriptComponent}, []string{"{appid}", scriptAuthorizer}, []string{"{appid}", scriptAccount}
	w.sim.ClearFaults()
	w.want(202, `"ticket"`, "POST", "/api/v1/components/{appid}/ticket/start", "", "", component...)
	await(t, "WeChat was asked", func() bool {
		return w.sim.Calls(startTickets) == 2 && w.sidecar.broker.Admin().Components()[0].Ticket.Refused == ""
	})
	w.want(429, "too_soon", "POST", "/api/v1/components/{appid}/ticket/start", "", "", component...)
	w.ticket()
	w.want(200, `"findings":[`, "GET", "/api/v1/status", "", "")
	w.want(200, scriptComponent, "GET", "/api/v1/components", "", "")
	w.want(200, `"received_at"`, "GET", "/api/v1/components/{appid}", "", "", component...)
	w.want(404, "unknown_component", "GET", "/api/v1/components/{appid}", "", "", own...)
	w.want(200, `"ended":true`, "POST", "/api/v1/components/{appid}/renew", "?wait=20s", "", component...)
	w.want(202, `"ended":false`, "POST", "/api/v1/components/{appid}/renew", "", "", component...)
	w.want(202, `"list"`, "POST", "/api/v1/components/{appid}/reconcile", "", "", component...)
	w.want(200, "https://b.example/wechat/"+scriptComponent+"/authorize?auth_type=1", "POST", "/api/v1/components/{appid}/link", "", `{"auth_type":"1"}`, component...)
	w.want(200, "auth_type=3", "POST", "/api/v1/components/{appid}/link", "", "", component...)
	w.want(409, "no_link", "POST", "/api/v1/components/{appid}/link", "", `{"auth_type":"9"}`, component...)
	w.want(400, "bad_request", "POST", "/api/v1/components/{appid}/link", "", `{"auth_typ":"1"}`, component...)
	w.want(200, `"next":"account/`, "GET", "/api/v1/accounts", "?limit=1", "")
	w.want(200, scriptAuthorizer, "GET", "/api/v1/accounts", "?limit=1&cursor=account/"+scriptAccount, "")
	w.want(400, "give account or authorizer", "GET", "/api/v1/accounts", "?kind=merchant", "")
	w.want(400, `limit is \"501\"`, "GET", "/api/v1/accounts", "?limit=501", "")
	w.want(400, `there is no parameter \"sate\" here`, "GET", "/api/v1/accounts", "?sate=live", "")
	w.want(200, scriptComponent, "GET", "/api/v1/accounts/{appid}", "", "", account...)
	w.want(404, "unknown_account", "GET", "/api/v1/accounts/{appid}", "", "", "{appid}", "wxdeadbeefdeadbeef")
	w.want(404, "has not authorised the component", "GET", "/api/v1/accounts/{appid}", "?component=wx1", "", account...)
	w.want(200, `"ended":true`, "POST", "/api/v1/accounts/{appid}/renew", "?wait=20s", "", account...)
	w.want(202, `"ended":false`, "POST", "/api/v1/accounts/{appid}/renew", "", "", account...)
	w.want(400, "wait is", "POST", "/api/v1/accounts/{appid}/renew", "?wait=1h", "", account...)
	w.want(200, `"live"`, "POST", "/api/v1/accounts/{appid}/reconcile", "", "", account...)
	w.want(409, "own_account", "POST", "/api/v1/accounts/{appid}/reconcile", "", "", own...)
	w.want(409, "in_force", "POST", "/api/v1/accounts/{appid}/forget", "", "", account...)
	w.want(200, `"unauthorized"`, "POST", "/api/v1/accounts/{appid}/forget", "?force=true", "", account...)
	w.want(409, "own_account", "POST", "/api/v1/accounts/{appid}/forget", "", "", own...)
	w.want(200, `"done"`, "POST", "/api/v1/budgets/reset", "", "")
	w.want(200, `"component_verify_ticket"`, "GET", "/api/v1/events", "?limit=5", "")
	w.want(200, `"events":[]`, "GET", "/api/v1/messages", "", "")
	w.want(200, `"total":0`, "GET", "/api/v1/dead-letters", "", "")
	w.want(200, `"events":0`, "POST", "/api/v1/dead-letters/redeliver", "", "")
	w.want(404, "unknown_event", "POST", "/api/v1/dead-letters/{id}/redeliver", "", "", "{id}", "x")
	w.want(200, `"failures":0`, "GET", "/api/v1/hosts", "", "")
	w.want(200, `"applied":true`, "POST", "/api/v1/reload", "", "")
	w.want(200, `"level":"info","access":false`, "GET", "/api/v1/log", "", "")
	w.want(200, `"level":"debug","access":true`, "POST", "/api/v1/log", "", `{"level":"debug","access":true}`)
	w.want(400, "give debug, info, warn or error", "POST", "/api/v1/log", "", `{"level":"loud"}`)
	w.want(200, "operationId: getStatus", "GET", "/api/v1/openapi.yaml", "", "")
	w.want(202, `"done"`, "POST", "/api/v1/quit", "", "")
	if err := <-w.watched; err != nil {
		t.Error(err)
	}
	w.watched <- nil
	w.wantEveryAnswer("POST /api/v1/dead-letters/{id}/redeliver 200")
}

// wantEveryAnswer checks that each answer of the document came, but for those named.
func (w *adminWorld) wantEveryAnswer(but ...string) {
	w.t.Helper()
	for _, operation := range w.doc.operations() {
		method, path, _ := strings.Cut(operation, " ")
		for status := range w.doc.Paths[path][strings.ToLower(method)].(map[string]any)["responses"].(map[string]any) {
			if answer := operation + " " + status; status != "default" && !w.doc.seen[answer] && !slices.Contains(but, answer) {
				w.t.Errorf("no call was answered with %s", answer)
			}
		}
	}
}

// What acts is refused by any other method than POST, and what asks by any but GET.
func TestAdmin_Methods(t *testing.T) {
	t.Parallel()
	w := newAdminWorld(t)
	for _, operation := range w.doc.operations() {
		method, template, _ := strings.Cut(operation, " ")
		path := strings.NewReplacer("{appid}", scriptAuthorizer, "{id}", "x").Replace(template)
		for _, wrong := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
			if _, ok := w.doc.Paths[template][strings.ToLower(wrong)]; ok {
				continue
			}
			req, _ := http.NewRequestWithContext(t.Context(), wrong, "http://"+w.at("admin")+path, nil)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if allow := res.Header.Get("Allow"); res.StatusCode != 405 || !strings.Contains(allow, method) {
				t.Errorf("%s %s: %d, Allow %s", wrong, path, res.StatusCode, allow)
			}
		}
	}
	if w.sidecar.state.Load() != stateServing || strings.Contains(w.log.String(), "an operator acts") {
		t.Error("something was done")
	}
}

// A configuration that is refused is told to whoever asked, and shown as what is wrong.
func TestAdmin_ReloadTellsFaults(t *testing.T) {
	t.Parallel()
	w := newAdminWorld(t)
	w.load = func() *config.Loaded { return loadText(t, "accounts: [{appid: wx1, secret: "+scriptAppSecret+"}]\n") }
	w.want(200, `"applied":false,"faults":["`, "POST", "/api/v1/reload", "", "")
	w.want(200, `"code":"reload_refused"`, "GET", "/api/v1/status", "", "")
	changed := w.config
	changed.Limits.MaxInflight++
	w.load = func() *config.Loaded { return &config.Loaded{Config: changed} }
	w.want(200, `"need_restart":["limits.max_inflight"]`, "POST", "/api/v1/reload", "", "")
	if _, text := w.ask("GET", "/api/v1/status", "", ""); strings.Contains(text, "reload_refused") {
		t.Error(text)
	}
}

// Dead letters are listed and delivered again, one by one and all.
func TestAdmin_DeadLetters(t *testing.T) {
	t.Parallel()
	wechat := wechattest.New(wechattest.Options{})
	t.Cleanup(wechat.Close)
	wechat.AddAccount(scriptAccount, scriptAppSecret)
	c := accountConfig(t, wechat)
	c.Listen.Admin = "127.0.0.1:0"
	c.Events = []config.Event{{URL: "unix:///nobody.listens"}}
	s, err := newSidecar(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.closeAll() }()
	box := deadLetterBox(t, s, memstore.Options{})
	handler, err := admin.NewHandler(admin.Options{Broker: s.broker.Admin(), Control: s.control, About: s.about(c), Outbox: box, Log: s.log})
	if err != nil {
		t.Fatal(err)
	}
	doc := readOpenAPI(t)
	f := func(method, path string, status int, part string) {
		t.Helper()
		code, contentType, body := record(handler, method, path)
		template := strings.Replace(path, "/1/", "/{id}/", 1)
		if wrong := doc.check(method, template, code, contentType, []byte(body)); len(wrong) > 0 || code != status || !strings.Contains(body, part) {
			t.Errorf("%s: %d %s %v, want %d with %s", path, code, body, wrong, status, part)
		}
	}
	f("GET", "/api/v1/dead-letters", 200, `"id":"1","component":"`+scriptComponent+`"`)
	f("GET", "/api/v1/status", 200, `"code":"dead_letters"`)
	f("POST", "/api/v1/dead-letters/1/redeliver", 200, `"events":1`)
	f("POST", "/api/v1/dead-letters/1/redeliver", 404, "unknown_event")
	f("GET", "/api/v1/dead-letters", 200, `"total":0`)
	f("POST", "/api/v1/dead-letters/redeliver", 200, `"events":0`)
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// record has a handler answer a local call.
func record(h http.Handler, method, path string) (status int, contentType, body string) {
	r := httptest.NewRequest(method, "http://localhost"+path, nil)
	res := httptest.NewRecorder()
	h.ServeHTTP(res, r)
	return res.Code, res.Header().Get("Content-Type"), res.Body.String()
}

// What is wrong comes first, the worst before the rest, each with what to do.
func TestAdmin_StatusSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newAdminWorld(t)
	status := func() admin.Status {
		_, text := w.ask("GET", "/api/v1/status", "", "")
		return decode[admin.Status](t, text)
	}
	find := func(code, appID string) *admin.Finding {
		s := status()
		for i, f := range s.Findings {
			if f.Message == "" || f.Cure == "" || f.Runbook == "" || i > 0 && f.Severity == admin.Critical && s.Findings[i-1].Severity != admin.Critical {
				t.Errorf("%+v", s.Findings)
			}
			if f.Code == code && f.AppID == appID {
				return &f
			}
		}
		return nil
	}
	await(t, "the ticket is missed", func() bool { return find("waiting_ticket", scriptComponent) != nil })
	if f := find("waiting_ticket", scriptComponent); f.Severity != admin.Critical || !strings.Contains(f.Message, "ticket missing since") {
		t.Errorf("%+v", f)
	}
	w.ticket()
	await(t, "the token lives", func() bool { return find("waiting_ticket", scriptComponent) == nil })
	w.sim.Fault("/cgi-bin/component/api_authorizer_token", wechattest.Fault{Errcode: 61004})
	w.ask("POST", "/api/v1/accounts/{appid}/renew", "?wait=20s", "", "{appid}", scriptAuthorizer)
	if f := find("misconfigured", ""); f == nil || f.Count != 1 || !slices.Equal(f.AppIDs, []string{scriptAuthorizer}) || f.Component != scriptComponent {
		t.Errorf("%+v", status().Findings)
	}
}

// The level of the log, and a line for each call, are changed while it runs; no secret of the
// run is in any line at any level.
func TestAdmin_LogAtRunTime(t *testing.T) {
	t.Parallel()
	w := newAdminWorld(t)
	w.ticket()
	call := func() {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.at("apps")+"/cgi-bin/getcallbackip", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Wechat-Appid", scriptAuthorizer)
		req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	lines := func(part string) int { return strings.Count(w.log.String(), part) }
	call()
	if n := lines(`"msg":"call"`); n != 0 {
		t.Errorf("%d lines that nobody wants", n)
	}
	w.want(200, `"access":true`, "POST", "/api/v1/log", "", `{"level":"debug","access":true}`)
	call()
	if n := lines(`"msg":"call","request_id":"`); n != 1 || lines(`"appid":"`+scriptAuthorizer+`","component":"`+scriptComponent+`"`) == 0 || lines(`"trace_id":"0af7651916cd43dd8448eb211c80319c"`) != 1 {
		t.Errorf("%d lines:\n%s", n, w.log.String())
	}
	w.want(200, `"level":"error","access":true`, "POST", "/api/v1/log", "", `{"level":"error"}`)
	call()
	if n := lines(`"msg":"call"`); n != 1 {
		t.Errorf("%d lines at level error", n)
	}
}

// An operator sees which Redis it is, and nobody its password.
func TestAdmin_ShowsWhereTheStoreIs(t *testing.T) {
	t.Parallel()
	w := newAdminWorld(t)
	c := w.config
	c.Store = secret.New("redis-sentinel://user:password@10.0.0.1:26379,10.0.0.2/main/2?sentinel_password=other")
	if got, want := w.sidecar.about(c)().Store, "redis-sentinel://10.0.0.1:26379,10.0.0.2:26379/main/2"; got != want {
		t.Errorf("the store is shown as %s, want %s", got, want)
	}
}
