package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"

	"github.com/wxsidecar/wxsidecar/config"
)

// What the simulator of the scripts knows; testdata/script/*.txtar name the same.
const (
	scriptComponent  = "wx7f00c0de00000001"
	scriptAuthorizer = "wxa000000000000001"
	scriptAccount    = "wx00000000000000aa"
	scriptAppSecret  = "0123456789abcdef0123456789abcdef"
	scriptPushToken  = "pushtoken"
	scriptAESKey     = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// minimal is the smallest configuration.
const minimal = "accounts: [{appid: " + scriptAccount + ", secret: " + scriptAppSecret + "}]\n"

// loadText loads a configuration file with that text.
func loadText(t *testing.T, text string) *config.Loaded {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(config.Sources{File: path})
}

// script is what one script's commands share.
type script struct {
	wechat   *wechattest.Server
	merchant merchant
}

// TestScripts runs testdata/script/*.txtar. Beside testscript's own commands there
// are:
//
//	exits CODE COMMAND...         runs a command that must end with that exit code
//	eventually FILE PATTERN       waits until a line of FILE matches
//	address VAR LISTENER FILE     waits for LISTENER's ready line in the log FILE and
//	                              sets VAR to its address
//	signal TERM|INT|HUP|KILL [FILE]    sends it to the background command, or to the
//	                              process whose number stands in FILE
//	http STATUS METHOD URL [H:V]  makes a request, with headers; prints the body
//	linger URL                    begins a GET request and does not wait for its answer
//	ticket ADDRESS                lets WeChat push a ticket to the push listener
//	merchant open PAGE APPID      opens the page where a merchant authorises, and authorises
//	                              there and at WeChat as APPID
//	merchant land ADDRESS STATUS  goes where WeChat leads back to, on the push listener's
//	                              ADDRESS; prints the page, or the address of the next one
//	hang PATH                     lets WeChat keep calls of PATH waiting
//	called PATH COUNT             waits until WeChat got COUNT calls of PATH
//	secretless FILE               FILE holds no secret of WeChat's or of the scripts
//
// $WECHAT is the address of a simulator of WeChat, $WECHAT_HOST without the scheme.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "eventually": eventually, "address": setAddress, "signal": sendSignal,
			"http": makeRequest, "linger": linger, "ticket": pushTicket, "merchant": merchantDoes, "hang": hang, "called": called, "secretless": secretless,
		},
	})
}

func setupScript(env *testscript.Env) error {
	// A variable of the one who runs the tests would count as configuration.
	env.Vars = slices.DeleteFunc(env.Vars, func(v string) bool { return strings.HasPrefix(v, config.EnvPrefix) })
	s := &script{wechat: wechattest.New(wechattest.Options{})}
	env.Defer(s.wechat.Close)
	address := s.wechat.Start()
	env.Setenv("WECHAT", address)
	env.Setenv("WECHAT_HOST", strings.TrimPrefix(address, "http://"))
	s.wechat.AddComponent(wechattest.Component{AppID: scriptComponent, Secret: scriptAppSecret})
	s.wechat.AddAuthorizer(scriptComponent, scriptAuthorizer)
	s.wechat.AddAccount(scriptAccount, scriptAppSecret)
	env.Values[scriptKey{}] = s
	return nil
}

type scriptKey struct{}

func wechatOf(ts *testscript.TestScript) *wechattest.Server {
	s, _ := ts.Value(scriptKey{}).(*script)
	return s.wechat
}

// need fails the script unless a command got n arguments at the least.
func need(ts *testscript.TestScript, neg bool, args []string, n int) {
	if neg || len(args) < n {
		ts.Fatalf("%d arguments are needed, and no !", n)
	}
}

// patience is how long a script waits for what will surely come.
const patience = 30 * time.Second

// poll calls done until it is true, and fails the script when it never is. It then
// shows what detail returns.
func poll(ts *testscript.TestScript, what string, detail func() string, done func() bool) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-deadline.C:
			ts.Fatalf("%s never came:\n%s", what, detail())
		}
	}
}

func lines(ts *testscript.TestScript, file string) []string {
	f, err := os.Open(ts.MkAbs(file))
	if os.IsNotExist(err) {
		return nil
	}
	ts.Check(err)
	defer func() { ts.Check(f.Close()) }()
	var all []string
	for s := bufio.NewScanner(f); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	whole := func() string { return strings.Join(lines(ts, args[0]), "\n") }
	poll(ts, args[1], whole, func() bool { return slices.ContainsFunc(lines(ts, args[0]), pattern.MatchString) })
}

func setAddress(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3)
	whole := func() string { return strings.Join(lines(ts, args[2]), "\n") }
	poll(ts, args[1]+"'s ready line", whole, func() bool {
		for _, line := range lines(ts, args[2]) {
			var ready struct{ Msg, Listener, Address string }
			if json.Unmarshal([]byte(line), &ready) == nil && ready.Msg == "ready" && ready.Listener == args[1] {
				ts.Setenv(args[0], ready.Address)
				return true
			}
		}
		return false
	})
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1)
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}
	signal, background := signals[args[0]], ts.BackgroundCmds()
	switch {
	case len(args) > 1:
		pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
		ts.Check(err)
		ts.Check(syscall.Kill(pid, signal))
	case signal == 0 || len(background) == 0:
		ts.Fatalf("signal TERM, INT, HUP or KILL, with a command in the background")
	default:
		ts.Check(background[0].Process.Signal(signal))
	}
}

func linger(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1)
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+args[0], nil)
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	ts.Defer(func() { cancel(); <-done })
}

// makeRequest asks host:port/path, or unix:///socket:/path.
func makeRequest(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3)
	url, transport := "http://"+args[2], &http.Transport{DisableKeepAlives: true}
	if rest, ok := strings.CutPrefix(args[2], "unix://"); ok {
		socket, path, _ := strings.Cut(rest, ":")
		url = "http://localhost" + path
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}
	}
	req, err := http.NewRequest(args[1], url, nil)
	ts.Check(err)
	for _, header := range args[3:] {
		name, value, _ := strings.Cut(header, ":")
		req.Header.Set(name, value)
	}
	res, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	ts.Check(err)
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Check(res.Body.Close())
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
	if strconv.Itoa(res.StatusCode) != args[0] {
		ts.Fatalf("status %s, want %s: %s", res.Status, args[0], body)
	}
}

func pushTicket(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1)
	wechatOf(ts).AddComponent(wechattest.Component{
		AppID: scriptComponent, Secret: scriptAppSecret, PushToken: scriptPushToken, EncodingAESKey: scriptAESKey, AuthorizeDomain: "127.0.0.1",
		PushURL: "http://" + args[0] + "/wechat/" + scriptComponent + "/event",
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(wechatOf(ts).PushTicket(ctx, scriptComponent))
}

func hang(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1)
	wechatOf(ts).Fault(args[0], wechattest.Fault{Mode: wechattest.Hang})
}

func called(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2)
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	calls := func() int { return wechatOf(ts).Calls(args[0]) }
	poll(ts, args[0], func() string { return strconv.Itoa(calls()) + " calls" }, func() bool { return calls() >= want })
}

func secretless(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1)
	text := ts.ReadFile(args[0])
	for _, secret := range append(wechatOf(ts).Secrets(), scriptAppSecret, scriptPushToken, scriptAESKey) {
		if strings.Contains(text, secret) {
			ts.Fatalf("%s shows a secret: %s", args[0], secret)
		}
	}
}
