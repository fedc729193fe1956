package admin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/trace"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// told is a Control that counts what it is told.
type told struct {
	level  slog.LevelVar
	access atomic.Bool
	quits  int
}

func (c *told) State() string                                  { return "serving" }
func (c *told) Link(string, admin.LinkRequest) (string, error) { return "", nil }
func (c *told) Reload(context.Context) (admin.ReloadResult, error) {
	return admin.ReloadResult{}, nil
}
func (c *told) LastReload() *admin.ReloadResult { return nil }
func (c *told) Quit()                           { c.quits++ }
func (c *told) LogLevel() *slog.LevelVar        { return &c.level }
func (c *told) AccessLog() *atomic.Bool         { return &c.access }

const operatorsKey = "the-key-of-the-operators"

// guarded returns a handler, with the operators' key if wanted, and its log.
func guarded(t *testing.T, withKey, pprof bool) (http.Handler, *told, *bytes.Buffer) {
	t.Helper()
	log, control := &bytes.Buffer{}, &told{}
	o := admin.Options{
		Broker: idle(t), Control: control, About: func() admin.About { return admin.About{} }, Pprof: pprof,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	if withKey {
		sum := sha256.Sum256([]byte(operatorsKey))
		o.KeySHA256 = &sum
	}
	h, err := admin.NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	return h, control, log
}

// send makes a call with headers, of which Host is one, each "Name: value".
func send(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:7083"+path, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	res := httptest.NewRecorder()
	h.ServeHTTP(res, r)
	return res
}

// Who may act, and by which name: an act that is refused has no effect.
func TestGuard(t *testing.T) {
	f := func(withKey bool, status int, code string, headers ...string) {
		t.Helper()
		h, control, log := guarded(t, withKey, false)
		res := send(h, "POST", "/api/v1/quit", "", headers...)
		if res.Code != status || !strings.Contains(res.Body.String(), code) || (control.quits == 1) != (status == 202) {
			t.Errorf("key %t, %v: %d %s, %d quits; want %d %s", withKey, headers, res.Code, res.Body, control.quits, status, code)
		}
		if strings.Contains(log.String(), operatorsKey) || !strings.Contains(log.String(), "remote=192.0.2.1:1234") {
			t.Errorf("%v: log %s", headers, log)
		}
	}
	f(false, 202, "done")
	f(false, 202, "done", "Host: localhost:7083")
	f(false, 202, "done", "Host: [::1]:7083")
	f(false, 202, "done", "Host: [::1]")
	f(false, 403, "forbidden_host", "Host: evil.example:7083")
	f(false, 403, "forbidden_host", "Host: 10.0.0.8:7083")
	f(false, 403, "forbidden_host", "Host: localhost.evil.example")
	f(false, 403, "browser_refused", "Origin: https://evil.example")
	f(false, 403, "browser_refused", "Origin: null")
	f(false, 403, "browser_refused", "Origin: http://127.0.0.1:9000")
	f(false, 403, "browser_refused", "Sec-Fetch-Site: cross-site")
	f(false, 403, "browser_refused", "Sec-Fetch-Site: same-site")
	f(false, 403, "browser_refused", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	f(false, 202, "done", "Sec-Fetch-Site: same-origin", "Origin: http://127.0.0.1:7083")

	bearer := "Authorization: Bearer " + operatorsKey
	f(true, 401, "wrong_key")
	f(true, 401, "wrong_key", "Authorization: Bearer "+operatorsKey+"x")
	f(true, 401, "wrong_key", "X-Wxsidecar-Key: ")
	f(true, 401, "wrong_key", "Authorization: "+operatorsKey)
	f(true, 202, "done", bearer)
	f(true, 202, "done", "Authorization: bearer "+operatorsKey)
	f(true, 202, "done", "X-Wxsidecar-Key: "+operatorsKey)
	f(true, 202, "done", "Authorization: Basic YW55OnRoZS1rZXktb2YtdGhlLW9wZXJhdG9ycw==")
	f(true, 202, "done", bearer, "Host: ops.example")
	f(true, 403, "browser_refused", bearer, "Host: ops.example", "Origin: https://evil.example")
}

// By a link from elsewhere the page can be opened, and nothing else.
func TestGuard_FollowsLinksToThePage(t *testing.T) {
	h, _, _ := guarded(t, false, false)
	follow := []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	for path, want := range map[string]int{"/": 200, "/api/v1/log": 403} {
		if res := send(h, "GET", path, "", follow...); res.Code != want {
			t.Errorf("%s: %d, want %d", path, res.Code, want)
		}
	}
	if res := send(h, "GET", "/", "", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: iframe"); res.Code != 403 {
		t.Errorf("a frame: %d", res.Code)
	}
}

// A socket has no name that a web page could use.
func TestGuard_Socket(t *testing.T) {
	h, _, _ := guarded(t, false, false)
	r := httptest.NewRequest("GET", "http://wxsidecar/api/v1/log", nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/a.sock", Net: "unix"}))
	res := httptest.NewRecorder()
	h.ServeHTTP(res, r)
	if res.Code != 200 {
		t.Errorf("%d %s", res.Code, res.Body)
	}
}

// Bodies are bounded and strict; the answers forbid what browsers might do with them.
func TestAPI_Bodies(t *testing.T) {
	h, control, _ := guarded(t, false, false)
	f := func(body, contentType string, status int, code string) {
		t.Helper()
		res := send(h, "POST", "/api/v1/log", body, "Content-Type: "+contentType)
		if res.Code != status || !strings.Contains(res.Body.String(), code) {
			t.Errorf("%.40s: %d %s", body, res.Code, res.Body)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store"} {
			if got := res.Header().Get(name); got != want {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
	f(`{"access":true}`, "text/plain", 415, "not_json")
	f(`{"access":true}`, "application/x-www-form-urlencoded", 415, "not_json")
	f(`{"access":true}{}`, "application/json", 400, "bad_request")
	f(`{"acess":true}`, "application/json", 400, "bad_request")
	f(`{"access":`, "application/json", 400, "bad_request")
	f(`{"level":"`+strings.Repeat("x", 70<<10)+`"}`, "application/json", 413, "body_too_large")
	f(`{"level":"`+strings.Repeat("x", 300<<10)+`"}`, "application/json", 413, "body_too_large")
	if control.access.Load() {
		t.Error("a body that was refused had an effect")
	}
	f(`{"access":true}`, "application/json; charset=utf-8", 200, `{"level":"info","access":true}`)
}

// Profiles are there only if they are switched on, and the command line never.
func TestProfiles(t *testing.T) {
	f := func(on bool, method, path string, want int) {
		t.Helper()
		h, _, _ := guarded(t, false, on)
		if res := send(h, method, path, ""); res.Code != want {
			t.Errorf("%t %s: %d %.80s", on, path, res.Code, res.Body)
		}
	}
	f(false, "GET", "/debug/pprof/", 404)
	f(false, "GET", "/debug/pprof/heap", 404)
	f(true, "GET", "/debug/pprof/", 200)
	f(true, "GET", "/debug/pprof/goroutine?debug=1", 200)
	f(true, "GET", "/debug/pprof/heap", 200)
	f(true, "GET", "/debug/pprof/cmdline", 404)
	f(true, "GET", "/debug/pprof/heap?debug=9", 400)
	f(true, "GET", "/debug/pprof/profile?seconds=61", 400)
	f(true, "GET", "/debug/pprof/trace?seconds=0", 400)
	f(true, "POST", "/debug/pprof/heap", 405)
	h, _, _ := guarded(t, false, true)
	if res := send(h, "GET", "/debug/pprof/", ""); !strings.Contains(res.Body.String(), "profile (?seconds=30)\n") || !strings.Contains(res.Body.String(), "\ngoroutine\n") {
		t.Errorf("the list: %s", res.Body)
	}
	if res := send(h, "GET", "/debug/pprof/heap", "", "Sec-Fetch-Site: cross-site"); res.Code != 403 {
		t.Errorf("for a web page: %d", res.Code)
	}
}

// What is not there is said so in JSON.
func TestAPI_UnknownPaths(t *testing.T) {
	h, _, _ := guarded(t, false, false)
	for _, path := range []string{"/api/v1/", "/api/v1/nothing", "/api/v1/accounts/", "/api/v1/log/", "/api/v1//log"} {
		if res := send(h, "GET", path, ""); res.Code != 404 && res.Code != 400 || res.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, res.Code, res.Body)
		}
	}
	if res := send(h, "HEAD", "/api/v1/log", ""); res.Code != 200 {
		t.Errorf("HEAD: %d", res.Code)
	}
	if res := send(h, "GET", "/nothing", ""); res.Code != 404 {
		t.Errorf("%d", res.Code)
	}
}

func TestNewHandler_NeedsItsParts(t *testing.T) {
	if _, err := admin.NewHandler(admin.Options{}); err == nil {
		t.Error("no error")
	}
}

// One CPU profile is taken at a time, and it ends with the one who asked for it.
func TestProfiles_OneAtATime(t *testing.T) {
	h, _, _ := guarded(t, false, true)
	ctx, leave := context.WithCancel(t.Context())
	first := httptest.NewRequest("GET", "http://localhost/debug/pprof/trace?seconds=60", nil).WithContext(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); h.ServeHTTP(httptest.NewRecorder(), first) }()
	for !trace.IsEnabled() {
		select {
		case <-ended:
			t.Fatal("none was taken")
		default:
			runtime.Gosched()
		}
	}
	if res := send(h, "GET", "/debug/pprof/trace?seconds=1", ""); res.Code != 409 || !strings.Contains(res.Body.String(), "profile_taken") {
		t.Errorf("a second one: %d %s", res.Code, res.Body)
	}
	leave()
	<-ended
	if trace.IsEnabled() {
		t.Error("it goes on for nobody")
	}
}
