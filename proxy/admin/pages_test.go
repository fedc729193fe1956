package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// status is a TokenStatus that a test sets.
type status []broker.Missing

func (s *status) Missing() []broker.Missing { return *s }

func (s *status) Status() []broker.KeyStatus {
	dies := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	all := []broker.KeyStatus{{
		Kind: "component", AppID: "wxc", State: "live", Generation: 7, ExpiresAt: &dies,
		Trouble: &broker.Trouble{Cause: "misconfigured", Errcode: 40125, Reason: "<wrong>", Since: dies, Why: broker.WhyRefused},
	}, {Kind: "account", AppID: "wxl", State: "live", Generation: 1, ExpiresAt: &dies}}
	for _, m := range *s {
		all = append(all, broker.KeyStatus{Kind: m.Kind, AppID: m.AppID, State: m.State, Reason: m.Reason})
	}
	return all
}

func (s *status) Coordination() (broker.CoordinationStatus, bool) {
	return broker.CoordinationStatus{}, false
}

// sharing is the status of a sidecar that shares its store.
type sharing struct{ status }

func (s *sharing) Coordination() (broker.CoordinationStatus, bool) {
	return broker.CoordinationStatus{State: "degraded", Error: "no route", Name: "a~1", Others: []broker.ReplicaStatus{{Name: "b~2"}}, Contested: 1, Fenced: 2, Repaired: 3, Solo: 4}, true
}

func (s *status) Tickets() []broker.TicketStatus {
	return []broker.TicketStatus{
		{Component: "wx7f00c0de00000001", Age: 187 * time.Second, Held: true},
		{Component: "wx7f00c0de00000002"},
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// serve starts the listener over a real socket and returns what asks it.
func serve(t *testing.T, o admin.MetricsOptions) func(method, path string) answer {
	t.Helper()
	h, err := admin.NewMetricsHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config = admin.NewServer(h, nil)
	s.Start()
	t.Cleanup(s.Close)
	client := s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(method, path string) answer {
		t.Helper()
		req, err := http.NewRequest(method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{resp.StatusCode, resp.Header, string(body)}
	}
}

func TestLivez(t *testing.T) {
	ask := serve(t, admin.MetricsOptions{Status: &status{}})
	if got := ask("GET", "/livez"); got.status != 200 || got.body != "ok\n" || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("/livez: %+v", got)
	}
	if got := ask("HEAD", "/livez"); got.status != 200 || got.body != "" {
		t.Errorf("HEAD /livez: %+v", got)
	}
}

func TestReadyz(t *testing.T) {
	if got := serve(t, admin.MetricsOptions{Status: &status{}})("GET", "/readyz"); got.status != 200 {
		t.Errorf("/readyz without a check: %+v", got)
	}
	var reason error
	ask := serve(t, admin.MetricsOptions{Status: &status{}, Ready: func() error { return reason }})
	if got := ask("GET", "/readyz"); got.status != 200 || got.body != "ok\n" {
		t.Errorf("/readyz: %+v", got)
	}
	reason = errors.Join(errors.New("the push listener is not open"), errors.New("draining"))
	if got := ask("GET", "/readyz"); got.status != 503 || got.body != "the push listener is not open\ndraining\n" {
		t.Errorf("/readyz when not ready: %+v", got)
	}
}

func TestTokenz(t *testing.T) {
	var s status
	ask := serve(t, admin.MetricsOptions{Status: &s})
	if got := ask("GET", "/tokenz"); got.status != 200 || got.body != "[]" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("/tokenz: %+v", got)
	}
	s = status{
		{Kind: "component", AppID: "wx7f00c0de00000001", State: "waiting_ticket", Reason: "no ticket since <start>"},
		{Kind: "account", AppID: "wx00000000000000aa", State: "misconfigured", Reason: "errcode 40125"},
	}
	got := ask("GET", "/tokenz")
	want := `[{"kind":"component","appid":"wx7f00c0de00000001","state":"waiting_ticket","reason":"no ticket since <start>"},` +
		`{"kind":"account","appid":"wx00000000000000aa","state":"misconfigured","reason":"errcode 40125"}]`
	if got.status != 503 || got.body != want || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("/tokenz when tokens are missing: %+v; want %s", got, want)
	}
	var read []broker.Missing
	if err := json.Unmarshal([]byte(got.body), &read); err != nil || cmp.Diff([]broker.Missing(s), read) != "" {
		t.Errorf("read back: %+v, %v", read, err)
	}
}

// TestTokenz_Verbose shows those that live as well, and leaves the status as it is.
func TestTokenz_Verbose(t *testing.T) {
	var s status
	ask := serve(t, admin.MetricsOptions{Status: &s})
	const live = `{"kind":"component","appid":"wxc","state":"live","generation":7,"expires_at":"2026-01-02T03:04:05Z",` +
		`"trouble":{"cause":"misconfigured","errcode":40125,"reason":"<wrong>","since":"2026-01-02T03:04:05Z","why":"refused"}},` +
		`{"kind":"account","appid":"wxl","state":"live","generation":1,"expires_at":"2026-01-02T03:04:05Z"}`
	for _, path := range []string{"/tokenz?verbose", "/tokenz?verbose=1"} {
		if got := ask("GET", path); got.status != 200 || got.body != "["+live+"]" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := ask("GET", "/tokenz"); got.body != "[]" {
		t.Errorf("/tokenz: %+v", got)
	}
	if got := ask("GET", "/"); !strings.Contains(got.body, "\ntrouble: the token of component wxc lives until 2026-01-02T03:04:05Z and cannot be renewed: misconfigured: <wrong>\n") {
		t.Errorf("/: %s", got.body)
	}
	s = status{{Kind: "account", AppID: "wxm", State: "retrying", Reason: "why"}}
	if got := ask("GET", "/tokenz?verbose"); got.status != 503 || got.body != "["+live+`,{"kind":"account","appid":"wxm","state":"retrying","reason":"why"}]` {
		t.Errorf("when one is missing: %+v", got)
	}
}

func TestMetrics(t *testing.T) {
	m := metrics.New("v9")
	ask := serve(t, admin.MetricsOptions{Status: &status{}, Metrics: m})
	if got := ask("GET", "/metrics"); got.status != 200 || !strings.Contains(got.body, "\nwxsidecar_build_info{") {
		t.Errorf("/metrics: %d", got.status)
	}
	if got := serve(t, admin.MetricsOptions{Status: &status{}})("GET", "/metrics"); got.status != 404 {
		t.Errorf("/metrics without metrics: %d", got.status)
	}
}

func TestCAPEM(t *testing.T) {
	if got := serve(t, admin.MetricsOptions{Status: &status{}})("GET", "/ca.pem"); got.status != 404 {
		t.Errorf("/ca.pem without a CA: %d", got.status)
	}
	var pem []byte
	ask := serve(t, admin.MetricsOptions{Status: &status{}, CAPEM: func() []byte { return pem }})
	if got := ask("GET", "/ca.pem"); got.status != 404 {
		t.Errorf("/ca.pem before there is one: %d", got.status)
	}
	pem = []byte("-----BEGIN CERTIFICATE-----\n")
	if got := ask("GET", "/ca.pem"); got.status != 200 || got.body != string(pem) || got.header.Get("Content-Type") != "application/x-pem-file" {
		t.Errorf("/ca.pem: %+v", got)
	}
}

func TestIndex_ListsWhatThereIs(t *testing.T) {
	ask := serve(t, admin.MetricsOptions{
		Status: &status{}, Metrics: metrics.New("v1"), CAPEM: func() []byte { return []byte("x") },
	})
	got := ask("GET", "/")
	if got.status != 200 || got.header.Get("Content-Type") != "text/plain; charset=utf-8" || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("/: %+v", got)
	}
	found := 0
	for line := range strings.Lines(got.body) {
		if path, _, _ := strings.Cut(line, " "); strings.HasPrefix(path, "/") {
			found++
			if got := ask("GET", path); got.status != 200 {
				t.Errorf("%s, which / lists: %d", path, got.status)
			}
		}
	}
	if found != 5 {
		t.Errorf("/ lists %d paths; want 5", found)
	}
}

func TestIndex_ShowsTicketsAndWhatIsMissing(t *testing.T) {
	ask := serve(t, admin.MetricsOptions{Status: &status{
		{Kind: "component", AppID: "wx7f00c0de00000002", State: "waiting_ticket", Reason: "no ticket"},
	}})
	got := ask("GET", "/").body
	for _, line := range []string{
		"component wx7f00c0de00000001: newest ticket 3m7s old", "component wx7f00c0de00000002: no ticket yet",
		"missing: the token of component wx7f00c0de00000002: waiting_ticket: no ticket",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("/ shows no %q:\n%s", line, got)
		}
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	ask := serve(t, admin.MetricsOptions{Status: &status{}, Metrics: metrics.New("v1")})
	for _, path := range []string{"/x", "/livez/", "//livez", "/./livez", "/debug/pprof/", "/metrics/x"} {
		if got := ask("GET", path); got.status != 404 {
			t.Errorf("%s: %d; want 404", path, got.status)
		}
	}
	for _, path := range []string{"/", "/livez", "/readyz", "/tokenz", "/metrics"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			if got := ask(method, path); got.status != 405 || got.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q; want 405 with GET, HEAD", method, path, got.status, got.header.Get("Allow"))
			}
		}
	}
}

func TestNewMetricsHandler_NeedsStatus(t *testing.T) {
	if _, err := admin.NewMetricsHandler(admin.MetricsOptions{}); err == nil {
		t.Error("NewMetricsHandler took options without Status")
	}
}

func TestNewServer_IsBounded(t *testing.T) {
	var logged bytes.Buffer
	s := admin.NewServer(http.NotFoundHandler(), slog.New(slog.NewTextHandler(&logged, nil)))
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("a limit is missing: %+v", s)
	}
	s.ErrorLog.Print("from net/http")
	if !strings.Contains(logged.String(), "level=WARN") || !strings.Contains(logged.String(), "from net/http") {
		t.Errorf("the log has %q", logged.String())
	}
}

// The first page lists the events that no app took, the last ones, and never their texts.
func TestIndex_DeadLetters(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var dead []outbox.DeadLetter
	for i := range 51 {
		dead = append(dead, outbox.DeadLetter{
			Event: outbox.Event{ID: fmt.Sprintf("id-%02d", i), Component: "wx7f00c0de00000001", AppID: "wxa1", InfoType: "authorized", Text: secret.New("what WeChat wrote")},
			Added: at, Died: at.Add(24 * time.Hour), Reason: "http://127.0.0.1:3000: status 500",
		})
	}
	ask := serve(t, admin.MetricsOptions{Status: &status{}, DeadLetters: func() []outbox.DeadLetter { return dead }})
	body := ask("GET", "/").body
	for _, want := range []string{
		"dead letters: 1 older ones are not shown\n",
		"dead letter: authorized of wxa1 for component wx7f00c0de00000001, id id-50, came 2026-01-02T03:04:05Z and was given up 2026-01-03T03:04:05Z: http://127.0.0.1:3000: status 500",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in the page:\n%s", want, body)
		}
	}
	if strings.Contains(body, "id-00") || strings.Contains(body, "what WeChat wrote") {
		t.Errorf("the page shows what it must not:\n%s", body)
	}
	dead = nil
	if body := ask("GET", "/").body; strings.Contains(body, "dead letter") {
		t.Errorf("%s", body)
	}
}

// A store that sidecars share is shown behind the keys, and on the page once it does not answer.
func TestTokenz_SharedStore(t *testing.T) {
	ask := serve(t, admin.MetricsOptions{Status: &sharing{}})
	const want = `,{"kind":"store","state":"degraded","error":"no route","contested":1,"fenced":2,"repaired":3,"solo":4}]`
	if got := ask("GET", "/tokenz?verbose"); got.status != 200 || !strings.HasSuffix(got.body, want) {
		t.Errorf("/tokenz?verbose: %+v, want it to end with %s", got, want)
	}
	if got := ask("GET", "/tokenz"); got.body != "[]" || got.status != 200 {
		t.Errorf("/tokenz: %+v: living tokens go on", got)
	}
	if got := ask("GET", "/"); !strings.Contains(got.body, "\nstore: degraded, living tokens are served and renewals wait: no route\n") {
		t.Errorf("/: %s", got.body)
	}
}
