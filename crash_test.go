package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	crashComponent = "wx7f00c0de00000001"
	crashOwn       = "wx00000000000000aa"
	crashPushToken = "push-token"
	crashAESKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	// crashReady is how long a sidecar may take from its start to the end of the first
	// calls, in most rounds: in some the machine may be busy with something else.
	crashReady = 3 * time.Second
)

// renewalPoints and pushPoints are the points at which the process is ended, as
// kill -9 does, while a token is renewed and while a push is taken in.
var (
	renewalPoints = []string{
		"renewal-begin", "renewal-locked", "renewal-sending", "renewal-answered",
		"renewal-saving", "renewal-swap", "renewal-saved", "renewal-scheduled",
	}
	pushPoints = []string{
		"push-begin", "push-saving", "push-saved",
		"exchange-sending", "exchange-answered", "exchange-saved",
	}
)

// crashRounds is 20, or what WXSIDECAR_CRASH_ROUNDS says.
func crashRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WXSIDECAR_CRASH_ROUNDS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("WXSIDECAR_CRASH_ROUNDS is %q, not a number of rounds", text)
	}
	return n
}

// TestCrash ends the real program at each named point, again and again over one
// data directory, and wants everything back after each restart.
func TestCrash(t *testing.T) {
	binary := mustBuild(t, checkpointBuild)
	rounds := crashRounds(t)
	for _, point := range slices.Concat(renewalPoints, pushPoints) {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c := newCrashWorld(t, binary, point, displaced(rounds))
			for round := range rounds {
				c.round(round)
			}
			if c.late > rounds/2 {
				t.Errorf("in %d of %d rounds it could be called only more than %s after the start", c.late, rounds, crashReady)
			}
			if v := c.sim.Violations(); len(v) != 0 {
				t.Errorf("WeChat saw what it never should: %s", strings.Join(v, "; "))
			}
		})
	}
}

type crashWorld struct {
	t         *testing.T
	binary    string
	point     string
	dir       string
	when      string // the file that arms the checkpoint
	sim       *wechattest.Server
	upstream  string
	merchants []string
	process   *exec.Cmd
	apps      string
	push      string
	displaced int // how many of the merchants have their tokens displaced
	late      int // rounds that took longer than crashReady
}

// displaced is how many merchants have their tokens displaced in turn. What rejections force of one
// is bounded, over restarts too: six renewals at once.
func displaced(rounds int) int { return 2 + rounds/5 }

func newCrashWorld(t *testing.T, binary, point string, merchants int) *crashWorld {
	t.Helper()
	dir := t.TempDir()
	c := &crashWorld{t: t, binary: binary, point: point, dir: dir, when: filepath.Join(dir, "armed"), displaced: merchants}
	c.sim = wechattest.New(wechattest.Options{RotateRefreshTokens: true, Pusher: pusher{c}, PushRetry: time.Millisecond})
	c.sim.AddComponent(wechattest.Component{
		AppID: crashComponent, Secret: "component-secret", PushToken: crashPushToken, EncodingAESKey: crashAESKey,
		PushURL: "http://push.invalid/wechat/" + crashComponent + "/event",
	})
	c.merchants = c.sim.AddAuthorizers(crashComponent, merchants)
	c.sim.AddAccount(crashOwn, "own-secret")
	srv := httptest.NewServer(c.sim)
	t.Cleanup(srv.Close)
	c.upstream = srv.URL
	t.Cleanup(func() {
		if c.process != nil {
			_ = c.process.Process.Kill()
			_ = c.process.Wait()
		}
	})
	return c
}

// pusher sends the simulator's pushes to the sidecar that runs at the moment.
type pusher struct{ c *crashWorld }

func (p pusher) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = p.c.push
	return http.DefaultTransport.RoundTrip(req)
}

// round starts the program, wants everything to work, arms the checkpoint, does
// what leads to it, and waits for the end.
func (c *crashWorld) round(n int) {
	c.t.Helper()
	if err := os.Remove(c.when); err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	start := time.Now()
	c.start()
	if n == 0 {
		if err := c.sim.PushTicket(c.t.Context(), crashComponent); err != nil {
			c.t.Fatalf("the first ticket: %v", err)
		}
	}
	for _, appID := range append([]string{crashComponent, crashOwn}, c.merchants...) {
		c.mustCall(n, appID)
	}
	if time.Since(start) > crashReady {
		c.late++
	}
	if err := os.WriteFile(c.when, nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.provoke(n)
	c.awaitEnd(n)
}

func (c *crashWorld) start() {
	c.t.Helper()
	cmd := exec.Command(c.binary, "serve")
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(),
		"WXSIDECAR_COMPONENT_APPID="+crashComponent, "WXSIDECAR_COMPONENT_SECRET=component-secret",
		"WXSIDECAR_COMPONENT_PUSH_TOKEN="+crashPushToken, "WXSIDECAR_COMPONENT_ENCODING_AES_KEY="+crashAESKey,
		"WXSIDECAR_ACCOUNTS_0_APPID="+crashOwn, "WXSIDECAR_ACCOUNTS_0_SECRET=own-secret",
		"WXSIDECAR_LISTEN_APPS=127.0.0.1:0", "WXSIDECAR_LISTEN_PUSH=127.0.0.1:0",
		"WXSIDECAR_LISTEN_METRICS=off", "WXSIDECAR_LISTEN_ADMIN=off",
		"WXSIDECAR_UPSTREAM_URL="+c.upstream, "WXSIDECAR_LOG_FORMAT=json",
		"CRASH_AT="+c.point, "CRASH_WHEN="+c.when,
	)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.process = cmd
	c.readLog(stderr)
}

// readLog takes the addresses from the log, and goes on reading so that the
// program never blocks on it.
func (c *crashWorld) readLog(stderr io.Reader) {
	c.t.Helper()
	lines := bufio.NewScanner(stderr)
	var seen strings.Builder
	addresses := map[string]string{}
	for len(addresses) < 2 && lines.Scan() {
		seen.WriteString(lines.Text() + "\n")
		var line struct{ Msg, Listener, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			addresses[line.Listener] = line.Address
		}
	}
	if len(addresses) < 2 {
		c.t.Fatalf("the program did not start:\n%s", seen.String())
	}
	c.apps, c.push = addresses["apps"], addresses["push"]
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
}

// call makes one call and returns WeChat's errcode.
func (c *crashWorld) call(appID string) (int, error) {
	path := "/cgi-bin/menu/get"
	if appID == crashComponent {
		path = "/wxa/gettemplatelist"
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+c.apps+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Wechat-Appid", appID)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Errcode int }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	return answer.Errcode, nil
}

func (c *crashWorld) mustCall(round int, appID string) {
	c.t.Helper()
	code, err := c.call(appID)
	if err != nil || code != 0 {
		c.t.Fatalf("round %d, call of %s: errcode %d, error %v", round, appID, code, err)
	}
}

// provoke leads the program to the checkpoint.
func (c *crashWorld) provoke(round int) {
	switch {
	case strings.HasPrefix(c.point, "renewal-"):
		victim := c.merchants[round%c.displaced]
		c.sim.Displace(victim)
		_, _ = c.call(victim) // the program ends amid it
	case strings.HasPrefix(c.point, "exchange-"), c.point == "push-saving" && len(c.merchants)%2 == 1:
		c.authorize()
	default:
		_ = c.sim.PushTicket(c.t.Context(), crashComponent)
	}
}

// authorize lets a new merchant authorise. If the push is acknowledged, it must be
// served ever after.
func (c *crashWorld) authorize() {
	appID := fmt.Sprintf("wxb%015x", len(c.merchants))
	code := c.sim.Authorize(crashComponent, appID)
	if c.sim.Push(c.t.Context(), crashComponent, c.sim.AuthorizedEvent(appID, code, false)) == nil {
		c.merchants = append(c.merchants, appID)
	}
}

func (c *crashWorld) awaitEnd(round int) {
	c.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- c.process.Wait() }()
	select {
	case err := <-ended:
		c.process = nil
		if err == nil || !strings.Contains(err.Error(), "killed") {
			c.t.Fatalf("round %d: the program ended with %v, not by the checkpoint", round, err)
		}
	case <-time.After(30 * time.Second):
		c.t.Fatalf("round %d: the program never came to %s", round, c.point)
	}
}
