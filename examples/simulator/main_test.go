package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// started is a running simulator with its two addresses.
type started struct {
	t            *testing.T
	api, control string
}

// start runs the program with args until the test ends, and checks that it then
// ends well.
func start(t *testing.T, args ...string) started {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	read, write := io.Pipe()
	var group sync.WaitGroup
	var code int
	group.Go(func() {
		code = run(ctx, append(args, "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0"), write, io.Discard)
		_ = write.Close()
	})
	out := bufio.NewReader(read)
	line, err := out.ReadString('\n')
	group.Go(func() { _, _ = io.Copy(io.Discard, out) })
	t.Cleanup(func() {
		cancel()
		group.Wait()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		goleak.VerifyNone(t)
	})
	api, control, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "simulated WeChat at "), ", control at ")
	if err != nil || !found {
		t.Fatalf("first line %q, %v", line, err)
	}
	return started{t, api, control}
}

func (s started) do(method, url, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl -d does
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// want does a control call and checks its status and a part of its answer.
func (s started) want(status int, part, method, path, body string) {
	s.t.Helper()
	got, answer := s.do(method, s.control+path, body)
	if got != status || !strings.Contains(answer, part) {
		s.t.Errorf("%s %s: status %d, %s; want %d and %q", method, path, got, answer, status, part)
	}
}

func (s started) token() string {
	s.t.Helper()
	_, answer := s.do(http.MethodGet, s.api+"/cgi-bin/token?grant_type=client_credential&appid=wx00000000000000aa&secret=fedcba9876543210fedcba9876543210", "")
	var m struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(answer), &m); err != nil || m.Token == "" {
		s.t.Fatalf("no token in %s", answer)
	}
	return m.Token
}

func (s started) menu(token, part string) {
	s.t.Helper()
	if _, answer := s.do(http.MethodGet, s.api+"/cgi-bin/menu/get?access_token="+token, ""); !strings.Contains(answer, part) {
		s.t.Errorf("answer %s, want %s", answer, part)
	}
}

func TestControl(t *testing.T) {
	var pushed sync.Map
	sidecar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pushed.Store(r.URL.Path, true)
		_, _ = io.WriteString(w, "success")
	}))
	defer sidecar.Close()
	s := start(t, "-push-url", sidecar.URL+"/event", "-authorizers", "5")
	token := s.token()
	s.menu(token, `"errcode":0`)
	s.want(200, "", "POST", "/control/expire?appid=wx00000000000000aa", "")
	s.menu(token, "42001")
	token = s.token()
	s.want(200, "", "POST", "/control/displace?appid=wx00000000000000aa", "")
	s.menu(token, "40001")
	s.want(200, "", "POST", "/control/fault", `{"path":"/cgi-bin/menu/*","errcode":45009,"times":1,"latency":"1ms"}`)
	s.menu(token, "45009")
	s.menu(token, "40001")
	s.want(200, "", "POST", "/control/fault", `{"errcode":-1}`)
	s.want(200, "", "DELETE", "/control/faults", "")
	s.menu(s.token(), `"errcode":0`)
	s.want(200, "ok", "POST", "/control/push-ticket", "")
	s.want(200, "queryauthcode@@@", "POST", "/control/authorize?appid=wxa000000000000001", "")
	s.want(200, "ok", "POST", "/control/push", `{"InfoType":"unauthorized","AuthorizerAppID":"wxa000000000000001"}`)
	s.want(200, "ok", "POST", "/control/revoke?appid=wxa000000000000001", "")
	if _, ok := pushed.Load("/event"); !ok {
		t.Error("nothing was pushed")
	}
	for _, path := range []string{
		"/control/rotate?appid=wxa000000000000002", "/control/void?appid=wxa000000000000002",
		"/control/unlist?appid=wxa000000000000002", "/control/stop-pushing", "/control/expire-tickets",
		"/control/refuse-ip?appid=wx00000000000000aa", "/control/exhaust-quota?appid=wx00000000000000aa&path=/cgi-bin/token",
		"/control/skew?by=-1h", "/control/expire", "/control/login-code?appid=wx00000000000000aa", "/control/certificate",
	} {
		s.want(200, "", "POST", path, "")
	}
	s.want(200, `"authorizers_total": 4`, "GET", "/control/state", "")
	s.want(200, `"path": "/cgi-bin/menu/get"`, "GET", "/control/requests?path=/cgi-bin/menu/get&limit=1", "")
	s.want(200, `"InfoType": "unauthorized"`, "GET", "/control/pushes", "")
	s.want(200, "[]", "GET", "/control/violations", "")
	s.want(200, "fedcba9876543210", "GET", "/control/secrets", "")
	s.want(200, "BEGIN CERTIFICATE", "GET", "/control/ca.pem", "")
	s.want(200, "", "DELETE", "/control/requests", "")
	s.want(200, "reset-before", "GET", "/", "")
	s.want(200, "", "POST", "/control/outage?on=true", "")
	s.want(200, "", "POST", "/control/outage?on=false", "")
}

func TestControl_Refuses(t *testing.T) {
	s := start(t)
	f := func(part, method, path, body string) {
		t.Helper()
		s.want(400, part, method, path, body)
	}
	f("no component", "POST", "/control/push-ticket?component=wxnone", "")
	f("no URL", "POST", "/control/push-ticket", "")
	f("say which account", "POST", "/control/displace", "")
	f("never authorised", "POST", "/control/revoke?appid=wxnone", "")
	for _, lever := range []string{"expire?", "displace?", "refuse-ip?", "login-code?", "exhaust-quota?path=/x&"} {
		f("no component, own account or authorizer", "POST", "/control/"+lever+"appid=wx00000000000000ff", "")
	}
	f("name that", "POST", "/control/refuse-ip?appid=wxa000000000000001", "")
	f("16 hexadecimal digits", "POST", "/control/authorize?appid=wxA", "")
	f("want one of", "POST", "/control/fault", `{"mode":"nonsense"}`)
	f("unknown field", "POST", "/control/fault", `{"mod":"html"}`)
	f("want true or false", "POST", "/control/outage?on=perhaps", "")
	f("want a path", "POST", "/control/exhaust-quota?appid=wx00000000000000aa&path=y", "")
	f("want expired", "POST", "/control/certificate?show=x", "")
	f("want a number", "GET", "/control/requests?limit=x", "")
	s.want(404, "", "GET", "/control/nothing", "")
}

func TestRun_Describes(t *testing.T) {
	dir := t.TempDir()
	ca, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "c.yaml")
	content := "tls: true\ntoken_life: 12s\ncomponents:\n  - {appid: wxone, secret: s1, authorizer_appids: [wxm]}\n  - {appid: wxtwo, secret: s2}\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	code := run(ctx, []string{"-config", file, "-ca-file", ca, "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-account", "wxown:sec"}, &out, io.Discard)
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, part := range []string{
		"simulated WeChat at https://127.0.0.1:", "WXSIDECAR_COMPONENTS_0_APPID=wxone\n", "WXSIDECAR_COMPONENTS_1_APPID=wxtwo\n", "WXSIDECAR_ACCOUNTS_0_SECRET=sec\n", ", ca_file: " + ca + "}", "WXSIDECAR_UPSTREAM_CA_FILE=" + ca,
		"WXSIDECAR_PUSH_LOGIN_URL=https://127.0.0.1:", "push: {login_url: https://127.0.0.1:",
		"- {appid: wxtwo, secret: s2,", "- {appid: wxown, secret: sec}", "authorizers    1 [wxm]",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%s\nhas no %q", out.String(), part)
		}
	}
	if pem, err := os.ReadFile(ca); err != nil || !bytes.HasPrefix(pem, []byte("-----BEGIN CERTIFICATE")) {
		t.Errorf("CA file: %q, %v", pem, err)
	}
}

func TestRun_RefusesSettings(t *testing.T) {
	f := func(part string, args ...string) {
		t.Helper()
		var stderr bytes.Buffer
		if code := run(context.Background(), args, io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), part) {
			t.Errorf("%q: exit code %d, %s", args, code, stderr.String())
		}
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("listn: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("want 43", "-aes-key", "short")
	f("message_url needs", "-push-token", "", "-message-url", "http://127.0.0.1/")
	f("want 0 or more", "-authorizers", "-1")
	f("invalid", "-token-life", "soon")
	f("appid:secret", "-account", "wx1")
	f("field listn not found in type main.config; keys of the file: listen, control, tls,", "-config", file)
	if err := os.WriteFile(file, []byte("components: [{appid: wxone, secrt: x}]\naccounts: [{secrt: x}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("; keys of components: appid, secret, push_token, encoding_aes_key, push_url,", "-config", file)
	f("; keys of accounts: appid, secret,", "-config", file)
	f("read -config", "-config", file+".none")
	f("unexpected argument", "serve")
	if code := run(context.Background(), []string{"-h"}, io.Discard, io.Discard); code != 0 {
		t.Errorf("-h: exit code %d", code)
	}
}
