package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// sidecar is one that runs, with the WeChat that it calls.
type sidecar struct {
	wechat *wechattest.Server
	log    *liveLog
	ca     string // file
	t      *testing.T
}

// startSidecar starts a sidecar with a WeChat of its own, and waits until every
// token lives.
func startSidecar(t *testing.T, binary string) *sidecar {
	t.Helper()
	dir := t.TempDir()
	s := &sidecar{wechat: wechattest.New(wechattest.Options{}), log: newLiveLog(), ca: filepath.Join(dir, "wxsidecar-ca.pem"), t: t}
	t.Cleanup(s.wechat.Close)
	platform := wechattest.Component{AppID: component, Secret: componentSecret, PushToken: pushToken, EncodingAESKey: aesKey}
	s.wechat.AddComponent(platform)
	s.wechat.AddAuthorizer(component, shop)
	s.wechat.AddAccount(own, ownSecret)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	url := s.wechat.StartTLS()
	config := write("wxsidecar.yaml", fmt.Sprintf(`
listen: {apps: 127.0.0.1:0, push: 127.0.0.1:0, metrics: 127.0.0.1:0, admin: "off"}
alias: {https: 127.0.0.1:0}
components: [{appid: %s, secret_file: %s, push_token: %s, encoding_aes_key: %s}]
accounts: [{appid: %s, secret_file: %s}]
upstream: {url: %q, ca_file: %s}
store: bolt:%s
log: {level: debug, format: json}
`, component, write("component", componentSecret), pushToken, aesKey, own, write("own", ownSecret),
		url, write("upstream.pem", string(s.wechat.CACertPEM())), filepath.Join(dir, "wx.db")))
	s.run(binary, config)
	platform.PushURL = "http://" + s.address("push") + "/wechat/" + component + "/event"
	s.wechat.AddComponent(platform)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.wechat.PushTicket(ctx, component); err != nil {
		t.Fatal(err)
	}
	wait := exec.Command(binary, "wait", "--listen-metrics", s.address("metrics"), "--timeout", patience.String())
	if out, err := wait.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", wait, err, out)
	}
	s.await("the list of authorizers", func(l logLine) bool { return l.Msg == "the list of authorizers was read" })
	return s
}

// run runs the sidecar until the test ends.
func (s *sidecar) run(binary, config string) {
	s.t.Helper()
	cmd := exec.Command(binary, "serve", "--config", config)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stderr = s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the sidecar: %v", err)
		}
		s.logIsClean()
	})
}

func (s *sidecar) logIsClean() {
	text, _ := s.log.read()
	for _, secret := range s.wechat.Secrets() {
		if strings.Contains(text, secret) {
			s.t.Errorf("the sidecar logs a secret: %s", secret)
		}
	}
	if s.t.Failed() {
		s.t.Logf("the sidecar's log:\n%s", text)
	}
}

// address returns where a listener of the sidecar listens.
func (s *sidecar) address(listener string) string {
	s.t.Helper()
	return s.await("listener "+listener, func(l logLine) bool { return l.Msg == "ready" && l.Listener == listener }).Address
}

// logLine is what the tests read of a line of the log.
type logLine struct{ Msg, Listener, Address string }

// await returns the first line of the log that is wanted, as soon as it is there.
func (s *sidecar) await(what string, wanted func(logLine) bool) logLine {
	s.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		text, grown := s.log.read()
		for line := range strings.Lines(text) {
			var l logLine
			if json.Unmarshal([]byte(line), &l) == nil && wanted(l) {
				return l
			}
		}
		select {
		case <-grown:
		case <-late.C:
			s.t.Fatalf("%s never came:\n%s", what, text)
		}
	}
}

// liveLog keeps what a program writes, and tells when there is more. It is safe for
// concurrent use.
type liveLog struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // closed by the next write
}

func newLiveLog() *liveLog { return &liveLog{grown: make(chan struct{})} }

// Write implements [io.Writer].
func (l *liveLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.grown)
	l.grown = make(chan struct{})
	return l.text.Write(p)
}

// read returns what was written so far, and what is closed when there is more.
func (l *liveLog) read() (text string, grown <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String(), l.grown
}
