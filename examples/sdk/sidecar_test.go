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
	t      testing.TB

	binary, dir string
	url         string // WeChat's
	platform    wechattest.Component
	logLevel    string
	pid         int
	stop        func()
	hangUp      func() // SIGHUP
}

// startSidecar starts a sidecar with a WeChat of its own, and waits until every
// token lives. more is added to its configuration.
func startSidecar(t testing.TB, binary, more string) *sidecar {
	t.Helper()
	dir := t.TempDir()
	s := &sidecar{
		wechat: wechattest.New(wechattest.Options{}), ca: filepath.Join(dir, "wxsidecar-ca.pem"), t: t, logLevel: "debug", binary: binary, dir: dir,
		platform: wechattest.Component{AppID: component, Secret: componentSecret, PushToken: pushToken, EncodingAESKey: aesKey},
	}
	t.Cleanup(s.wechat.Close)
	s.wechat.AddComponent(s.platform)
	s.wechat.AddAuthorizer(component, shop)
	s.wechat.AddAccount(own, ownSecret)
	s.url = s.wechat.StartTLS()
	if _, isBenchmark := t.(*testing.B); isBenchmark {
		s.logLevel = "info"
	}
	s.configure(more)
	s.run()
	t.Cleanup(func() { s.stop() })
	s.light()
	return s
}

// configure writes the configuration, anew if there is one.
func (s *sidecar) configure(more string) {
	s.write("wxsidecar.yaml", fmt.Sprintf(`
listen: {apps: 127.0.0.1:0, push: 127.0.0.1:0, metrics: 127.0.0.1:0, admin: "off"}
alias: {https: 127.0.0.1:0}
components: [{appid: %s, secret_file: %s, push_token: %s, encoding_aes_key: %s}]
accounts: [{appid: %s, secret_file: %s, push_token: %s, encoding_aes_key: %s}]
upstream: {url: %q, ca_file: %s}
store: bolt:%s
log: {format: json}
%s
`, component, s.write("component", componentSecret), pushToken, aesKey, own, s.write("own", ownSecret), pushToken, aesKey,
		s.url, s.write("upstream.pem", string(s.wechat.CACertPEM())), filepath.Join(s.dir, storeFile), more))
}

const storeFile = "wx.db"

func (s *sidecar) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err) // the sidecar may be reading it, and must not find half of it
	}
	return path
}

// light pushes a ticket and waits until every token lives.
func (s *sidecar) light() {
	t := s.t
	t.Helper()
	s.platform.PushURL = "http://" + s.address("push") + "/wechat/" + component + "/event"
	s.wechat.AddComponent(s.platform)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.wechat.PushTicket(ctx, component); err != nil {
		t.Fatal(err)
	}
	wait := exec.Command(s.binary, "wait", "--listen-metrics", s.address("metrics"), "--timeout", patience.String())
	if out, err := wait.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", wait, err, out)
	}
	s.await("the list of authorizers", func(l logLine) bool { return l.Msg == "the list of authorizers was read" })
}

// run runs the sidecar until s.stop.
func (s *sidecar) run() {
	s.t.Helper()
	s.log = newLiveLog()
	cmd := exec.Command(s.binary, "serve", "--config", filepath.Join(s.dir, "wxsidecar.yaml"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "WXSIDECAR_LOG_LEVEL=" + s.logLevel}
	cmd.Stderr = s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	s.hangUp = func() { _ = cmd.Process.Signal(syscall.SIGHUP) }
	s.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the sidecar: %v", err)
		}
		s.logIsClean()
	}
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
type logLine struct{ Msg, Listener, Address, Error, Why string }

// await returns the first line of the log that is wanted, as soon as it is there.
func (s *sidecar) await(what string, wanted func(logLine) bool) logLine {
	s.t.Helper()
	return s.awaitNth(1, what, wanted)
}

// awaitNth is await for the nth such line.
func (s *sidecar) awaitNth(n int, what string, wanted func(logLine) bool) logLine {
	s.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		text, grown := s.log.read()
		found := 0
		for line := range strings.Lines(text) {
			var l logLine
			if json.Unmarshal([]byte(line), &l) == nil && wanted(l) {
				found++
			}
			if found == n {
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
