package prometheus

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// What a sidecar and its simulated WeChat agree on. None of it is secret.
const (
	component = "wx7f00c0de00000001"
	ownOne    = "wx00000000000000aa"
	ownTwo    = "wx00000000000000bb"
	appSecret = "0123456789abcdef0123456789abcdef"
	pushToken = "simulatorPushToken"
	aesKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	menuPath  = "/cgi-bin/menu/get"
	shopKey   = "the-key-of-shop"
	mailKey   = "the-key-of-mail"
)

func TestMain(m *testing.M) { programtest.Main(m) }

// sidecar is the real program with a WeChat of its own.
type sidecar struct {
	t    *testing.T
	name string
	dir  string
	sim  *wechattest.Server
	// merchants are those who have authorised the platform.
	merchants []string
	ports     struct{ apps, push, metrics int }
	config    string // its file
	client    *http.Client
	stops     []func() // of keep

	mu      sync.Mutex
	process *os.Process
	ended   chan struct{}
	// appFails has the app under events answer 500.
	appFails atomic.Bool
	appURL   string
}

// newSidecar makes a sidecar that does not run yet. Tokens of its WeChat live life.
func newSidecar(t *testing.T, name string, life time.Duration) *sidecar {
	t.Helper()
	s := &sidecar{t: t, name: name, dir: t.TempDir(), sim: wechattest.New(wechattest.Options{TokenLife: life, KeepRequests: 16})}
	t.Cleanup(s.sim.Close)
	s.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	t.Cleanup(s.client.CloseIdleConnections)
	for _, port := range []*int{&s.ports.apps, &s.ports.push, &s.ports.metrics} {
		*port = programtest.FreePort(t)
	}
	base := fmt.Sprintf("http://127.0.0.1:%d/wechat/%s", s.ports.push, component)
	s.sim.AddComponent(wechattest.Component{
		AppID: component, Secret: appSecret, PushToken: pushToken, EncodingAESKey: aesKey,
		PushURL: base + "/event", MessageURL: base + "/message/$APPID$",
	})
	s.merchants = s.sim.AddAuthorizers(component, 3)
	s.sim.AddAccount(ownOne, appSecret)
	s.sim.AddAccount(ownTwo, appSecret)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s.appFails.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(app.Close)
	s.appURL = app.URL
	s.configure(s.settings(s.sim.Start()))
	return s
}

// settings are the usual ones, which tests change as texts.
func (s *sidecar) settings(wechat string) string {
	hash := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:])
	}
	return fmt.Sprintf(`listen: {apps: "127.0.0.1:%d", push: "127.0.0.1:%d", metrics: "127.0.0.1:%d", admin: "off"}
components: [{appid: %s, secret: %s, push_token: %s, encoding_aes_key: %s}]
accounts: [{appid: %s, secret: %s}, {appid: %s, secret: %s}]
callers:
  - {name: shop, key_sha256: %s}
  - {name: mail, key_sha256: %s, allow: [/cgi-bin/message/*]}
events: [{url: %q, format: json}]
upstream: {url: %q}
store: %q
log: {format: json}
`, s.ports.apps, s.ports.push, s.ports.metrics, component, appSecret, pushToken, aesKey, ownOne, appSecret, ownTwo, appSecret,
		hash(shopKey), hash(mailKey), s.appURL, wechat, "bolt:"+filepath.Join(s.dir, "wx.db"))
}

// configure writes the configuration; a running sidecar notices it by itself.
func (s *sidecar) configure(text string) {
	s.t.Helper()
	s.config = filepath.Join(s.dir, "wxsidecar.yaml")
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// replace changes a text of the configuration.
func (s *sidecar) replace(old, with string) {
	s.t.Helper()
	text := readText(s.t, s.config)
	if !strings.Contains(text, old) {
		s.t.Fatalf("%s: the configuration has no %q", s.name, old)
	}
	s.configure(strings.ReplaceAll(text, old, with))
}

// start starts the program, until the test ends at most, and waits until it is ready.
func (s *sidecar) start() {
	s.t.Helper()
	path := programtest.Build(s.t)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", "--config", s.config)
	cmd.Dir, cmd.Stderr = s.dir, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		_ = log.Close()
		close(ended)
	}()
	s.mu.Lock()
	s.process, s.ended = cmd.Process, ended
	s.mu.Unlock()
	s.t.Cleanup(func() { s.end(syscall.SIGTERM) })
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s: the last of the log:\n%s", s.name, tail(readText(s.t, log.Name())))
		}
	})
	until(s.t, s.name+" is ready", func() bool { return s.get(s.ports.metrics, "/readyz") == http.StatusOK })
}

// end sends a signal that ends the program, and waits for its end.
func (s *sidecar) end(signal os.Signal) {
	s.signal(signal)
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	<-ended
}

func (s *sidecar) signal(signal os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.process.Signal(signal) // one that has ended needs none
}

// tail is the end of a text.
func tail(text string) string { return text[max(0, len(text)-3000):] }

// patience is how long a test waits for what must come; a busy machine is slow.
const patience = 2 * time.Minute

// until polls until is true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
		<-tick.C
	}
}
