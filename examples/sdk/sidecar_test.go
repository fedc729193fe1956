package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// sidecar is one that runs, with the WeChat that it calls.
type sidecar struct {
	wechat *wechattest.Server
	log    string // file
	ca     string // file
	t      *testing.T
}

// startSidecar starts a sidecar with a WeChat of its own, and waits until every
// token lives.
func startSidecar(t *testing.T, binary string) *sidecar {
	t.Helper()
	dir := t.TempDir()
	s := &sidecar{wechat: wechattest.New(wechattest.Options{}), log: filepath.Join(dir, "log"), ca: filepath.Join(dir, "wxsidecar-ca.pem"), t: t}
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
	s.untilKnown("component token", func() bool { return s.status("metrics", "/tokenz", nil) == http.StatusOK })
	s.untilKnown("merchant", func() bool {
		return s.status("apps", menuPath, http.Header{"X-Wechat-Appid": {shop}}) == http.StatusOK
	})
	return s
}

// run runs the sidecar until the test ends.
func (s *sidecar) run(binary, config string) {
	s.t.Helper()
	log, err := os.Create(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--config", config)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the sidecar: %v", err)
		}
		_ = log.Close()
		s.logIsClean()
	})
}

func (s *sidecar) logIsClean() {
	text, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Error(err)
	}
	for _, secret := range s.wechat.Secrets() {
		if strings.Contains(string(text), secret) {
			s.t.Errorf("the sidecar logs a secret: %s", secret)
		}
	}
	if s.t.Failed() {
		s.t.Logf("the sidecar's log:\n%s", text)
	}
}

// address returns where a listener of the sidecar listens.
func (s *sidecar) address(listener string) (found string) {
	s.t.Helper()
	s.untilKnown("listener "+listener, func() bool {
		text, err := os.ReadFile(s.log)
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var ready struct{ Msg, Listener, Address string }
			if json.Unmarshal([]byte(line), &ready) == nil && ready.Msg == "ready" && ready.Listener == listener {
				found = ready.Address
			}
		}
		return found != ""
	})
	return found
}

func (s *sidecar) status(listener, path string, header http.Header) int {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.address(listener)+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = slices.Clone(values)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// untilKnown waits for what will surely come.
func (s *sidecar) untilKnown(what string, done func() bool) {
	s.t.Helper()
	for late := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			text, _ := os.ReadFile(s.log)
			s.t.Fatalf("%s never came:\n%s", what, text)
		}
	}
}
