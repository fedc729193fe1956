package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// redisSecret is the password of the Redis of these tests; nothing may show it.
const redisSecret = "r3d1s-s3cr3t"

// redisWorld is the real program, as often as a test wants it, on a real Redis and before a
// simulated WeChat with one component, one merchant and one own account.
type redisWorld struct {
	t     *testing.T
	dir   string
	redis *redistest.Server
	sim   *wechattest.Server
	all   []*replica
}

func newRedisWorld(t *testing.T) *redisWorld {
	t.Helper()
	w := &redisWorld{t: t, redis: redistest.Start(t, redistest.Options{Password: redisSecret, AOF: true})}
	w.dir = t.TempDir()
	w.sim = wechattest.New(wechattest.Options{Pusher: w, PushRetry: time.Millisecond})
	t.Cleanup(w.sim.Close)
	w.sim.AddComponent(wechattest.Component{
		AppID: scriptComponent, Secret: scriptAppSecret, PushToken: scriptPushToken, EncodingAESKey: scriptAESKey,
		PushURL: "http://push.invalid/wechat/" + scriptComponent + "/event",
	})
	w.sim.AddAuthorizer(scriptComponent, scriptAuthorizer)
	w.sim.AddAccount(scriptAccount, scriptAppSecret)
	w.write("key", strings.Repeat("1", 64))
	w.write("key2", strings.Repeat("2", 64))
	w.write("redis.url", w.redis.URL())
	w.write("base.yaml", "listen: {apps: 127.0.0.1:0, push: 127.0.0.1:0, metrics: 127.0.0.1:0, admin: 'off'}\ncomponents:\n"+
		"  - {appid: "+scriptComponent+", secret: "+scriptAppSecret+", push_token: "+scriptPushToken+", encoding_aes_key: "+scriptAESKey+"}\n"+
		"accounts: [{appid: "+scriptAccount+", secret: "+scriptAppSecret+"}]\n"+
		"upstream: {url: '"+w.sim.Start()+"'}\nlog: {format: json}\n")
	return w
}

func (w *redisWorld) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// configure writes a configuration file: the base and what is added.
func (w *redisWorld) configure(name string, lines ...string) {
	w.t.Helper()
	base, err := os.ReadFile(filepath.Join(w.dir, "base.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(name, string(base)+strings.Join(lines, "\n")+"\n")
}

// RoundTrip brings the simulator's pushes to the newest replica that runs.
func (w *redisWorld) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = w.all[len(w.all)-1].log.at("push")
	return http.DefaultTransport.RoundTrip(req)
}

// run runs a verb to its end.
func (w *redisWorld) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	cmd := exec.Command("wxsidecar", args...) // TestMain has put it into PATH
	cmd.Dir = w.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	w.secretless(args[0], out.String()+errs.String())
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// secretless wants a text to show neither WeChat's secrets nor ours.
func (w *redisWorld) secretless(what, text string) {
	w.t.Helper()
	for _, secret := range append(w.sim.Secrets(), redisSecret, scriptAppSecret, scriptPushToken, scriptAESKey, strings.Repeat("1", 64)) {
		if strings.Contains(text, secret) {
			w.t.Errorf("%s shows a secret: %s", what, secret)
		}
	}
}

// replica is one process of serve.
type replica struct {
	w   *redisWorld
	cmd *exec.Cmd
	log programLog
}

// begin starts serve with a configuration file, and waits for nothing. It ends with the test.
func (w *redisWorld) begin(config string) *replica {
	w.t.Helper()
	return w.launch(exec.Command("wxsidecar", "serve", "--config", config))
}

// launch starts serve by a command line.
func (w *redisWorld) launch(cmd *exec.Cmd) *replica {
	w.t.Helper()
	r := &replica{w: w, cmd: cmd}
	r.cmd.Dir, r.cmd.Stderr = w.dir, &r.log
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.all = append(w.all, r)
	w.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		w.secretless("a log", r.log.String())
		if w.t.Failed() {
			w.t.Log(r.log.String())
		}
	})
	return r
}

// start starts serve and waits until it is ready.
func (w *redisWorld) start(config string) *replica {
	w.t.Helper()
	r := w.begin(config)
	r.ready()
	return r
}

func (r *replica) ready() {
	r.w.t.Helper()
	await(r.w.t, "a replica is ready", func() bool { return r.log.at("metrics") != "" && r.log.at("apps") != "" && r.log.at("push") != "" })
	if status, body := r.get("metrics", "/readyz"); status != http.StatusOK {
		r.w.t.Errorf("/readyz: %d %s", status, body)
	}
}

// says waits for a text in the log.
func (r *replica) says(text string) {
	r.w.t.Helper()
	await(r.w.t, "the log says "+text, func() bool { return strings.Contains(r.log.String(), text) })
}

// get asks one of its listeners.
func (r *replica) get(listener, target string, headers ...string) (int, string) {
	req, err := http.NewRequest(http.MethodGet, "http://"+r.log.at(listener)+target, nil)
	if err != nil {
		return 0, err.Error()
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// serves waits until calls of an account come through.
func (r *replica) serves(appID string) {
	r.w.t.Helper()
	await(r.w.t, appID+" is served", func() bool {
		status, _ := r.get("apps", "/cgi-bin/menu/get", "X-Wechat-Appid: "+appID)
		return status == http.StatusOK
	})
}

// tokenCalls returns how often WeChat was asked for tokens.
func (w *redisWorld) tokenCalls() int {
	n := 0
	for _, path := range tokenPaths {
		n += w.sim.Calls(path)
	}
	return n
}

// stop sends a signal and returns the exit code.
func (r *replica) stop(sig syscall.Signal) int {
	r.w.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.w.t.Fatal(err)
	}
	return r.exit()
}

func (r *replica) exit() int {
	_ = r.cmd.Wait() // the code says it
	return r.cmd.ProcessState.ExitCode()
}
