package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// What the world of two components has. The first merchant of worldMerchants authorises
// both, the second the first one alone.
const (
	worldFirst, worldSecond = "wx7f00c0de00000001", "wx7f00c0de00000002"
	worldBoth, worldOne     = "wxa000000000000001", "wxa000000000000002"
)

// componentsWorld is the real program with two components before a simulated WeChat, and
// the apps that call it.
type componentsWorld struct {
	t        *testing.T
	binary   string
	dir      string
	sim      *wechattest.Server
	upstream string
	process  *exec.Cmd
	// defaultComponent is apps.default_component.
	defaultComponent string

	log programLog
}

// RoundTrip brings the simulator's pushes to the program that runs at the moment.
func (w *componentsWorld) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = w.log.at("push")
	return http.DefaultTransport.RoundTrip(req)
}

func newComponentsWorld(t *testing.T) *componentsWorld {
	t.Helper()
	w := &componentsWorld{t: t}
	w.binary, w.dir = buildProgram(t)
	w.sim = wechattest.New(wechattest.Options{Pusher: w, PushRetry: time.Millisecond, KeepRequests: 1 << 20})
	t.Cleanup(w.sim.Close)
	w.upstream = w.sim.Start()
	for _, appID := range []string{worldFirst, worldSecond} {
		w.sim.AddComponent(wechattest.Component{
			AppID: appID, Secret: scriptAppSecret, PushToken: scriptPushToken, EncodingAESKey: scriptAESKey,
			PushURL: "http://push.invalid/wechat/" + appID + "/event",
		})
		w.sim.AddAuthorizer(appID, worldBoth)
	}
	w.sim.AddAuthorizer(worldFirst, worldOne)
	w.write("key", strings.Repeat("1", 64))
	w.configure("key", "")
	t.Cleanup(w.kill)
	return w
}

func (w *componentsWorld) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// configure writes the configuration: anybody may act through both components with one
// key, and through the first with another.
func (w *componentsWorld) configure(key, previous string) {
	w.t.Helper()
	component := `  - {appid: %s, secret: ` + scriptAppSecret + `, push_token: ` + scriptPushToken + `, encoding_aes_key: ` + scriptAESKey + "}\n"
	text := "listen: {apps: 127.0.0.1:0, push: 127.0.0.1:0, metrics: 'off', admin: 'off'}\ncomponents:\n" +
		fmt.Sprintf(component, worldFirst) + fmt.Sprintf(component, worldSecond) +
		"upstream: {url: '" + w.upstream + "'}\nstore: bolt:wx.db\nlog: {format: json}\nseal: {key_file: " + key + "}\n" +
		"callers:\n" +
		"  - {name: all, key_sha256: " + sha256Hex("key-all") + "}\n" +
		"  - {name: first, key_sha256: " + sha256Hex("key-first") + ", components: [" + worldFirst + "]}\n"
	if w.defaultComponent != "" {
		text += "apps: {default_component: " + w.defaultComponent + "}\n"
	}
	if previous != "" {
		text = strings.Replace(text, "seal: {", "seal: {previous_key_file: "+previous+", ", 1)
	}
	w.write("c.yaml", text)
}

// start starts the program and pushes both components' tickets.
func (w *componentsWorld) start() {
	w.t.Helper()
	w.log.forgetAddresses()
	w.process = exec.Command(w.binary, "serve", "--config", "c.yaml")
	w.process.Dir, w.process.Stderr = w.dir, &w.log
	if err := w.process.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.until("the program is ready", func() bool { return w.log.at("apps") != "" && w.log.at("push") != "" })
	for _, appID := range []string{worldFirst, worldSecond} {
		if err := w.sim.PushTicket(w.t.Context(), appID); err != nil {
			w.t.Fatal(err)
		}
	}
}

// kill ends the program as kill -9 does.
func (w *componentsWorld) kill() {
	if w.process != nil {
		_ = w.process.Process.Kill()
		_ = w.process.Wait()
		w.process = nil
	}
}

// rekey seals the store anew under another key while the program is stopped.
func (w *componentsWorld) rekey() {
	w.t.Helper()
	w.write("key2", strings.Repeat("2", 64))
	w.configure("key2", "key")
	cmd := exec.Command(w.binary, "rekey", "--config", "c.yaml")
	cmd.Dir = w.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("rekey: %v\n%s", err, out)
	}
}

// until waits for what comes by itself.
func (w *componentsWorld) until(what string, done func() bool) {
	w.t.Helper()
	defer func() {
		if w.t.Failed() {
			w.t.Log(w.log.String())
		}
	}()
	await(w.t, what, done)
}

// push lets WeChat tell a component of an event.
func (w *componentsWorld) push(component string, e wechattest.Event) {
	w.t.Helper()
	if err := w.sim.Push(w.t.Context(), component, e); err != nil {
		w.t.Fatal(err)
	}
}

func (w *componentsWorld) withdraw(component, appID string) {
	w.t.Helper()
	w.sim.Revoke(component, appID)
	w.push(component, wechattest.Event{InfoType: wechattest.InfoUnauthorized, AuthorizerAppID: appID})
}

func (w *componentsWorld) authorize(component, appID string) {
	w.t.Helper()
	w.push(component, w.sim.AuthorizedEvent(appID, w.sim.Authorize(component, appID), false))
}
