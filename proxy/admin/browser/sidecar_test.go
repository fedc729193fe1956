package browser_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// What a sidecar and its simulated WeChat agree on. None of it is secret.
const (
	component = "wx7f00c0de00000001"
	own       = "wx00000000000000aa"
	appSecret = "0123456789abcdef0123456789abcdef"
	pushToken = "simulatorPushToken"
	aesKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

func TestMain(m *testing.M) { programtest.Main(m) }

// sidecar is the real program with a WeChat of its own.
type sidecar struct {
	t         *testing.T
	dir       string
	sim       *wechattest.Server
	merchants []string
	apps      int // the port of the apps listener
	push      int
	admin     int
	upstream  string
	proxy     string
	store     string
	more      string // more of the configuration
	secret    string // the component's, as configured
	process   *exec.Cmd
	seen      strings.Builder // all pages
}

// newSidecar makes a sidecar that does not run yet.
func newSidecar(t *testing.T) *sidecar {
	t.Helper()
	s := &sidecar{t: t, dir: t.TempDir(), sim: wechattest.New(wechattest.Options{PushRetry: time.Millisecond}), secret: appSecret}
	t.Cleanup(s.sim.Close)
	for _, port := range []*int{&s.apps, &s.push, &s.admin} {
		*port = programtest.FreePort(t)
	}
	s.sim.AddComponent(wechattest.Component{
		AppID: component, Secret: appSecret, PushToken: pushToken, EncodingAESKey: aesKey,
		PushURL: fmt.Sprintf("http://127.0.0.1:%d/wechat/%s/event", s.push, component),
	})
	s.merchants = s.sim.AddAuthorizers(component, 3)
	s.sim.AddAccount(own, appSecret)
	s.upstream, s.store = s.sim.Start(), "bolt:"+filepath.Join(s.dir, "wx.db")
	return s
}

// start starts the program, until the test ends at most, and waits until its page is there.
func (s *sidecar) start() {
	s.t.Helper()
	path := programtest.Build(s.t)
	config, key := filepath.Join(s.dir, "wxsidecar.yaml"), filepath.Join(s.dir, "key")
	text := fmt.Sprintf(`listen: {apps: "127.0.0.1:%d", push: "127.0.0.1:%d", metrics: "off", admin: "127.0.0.1:%d"}
components: [{appid: %s, secret: %s, push_token: %s, encoding_aes_key: %s}]
accounts: [{appid: %s, secret: %s}]
upstream: {url: %q, proxy: %q}
store: %q
seal: {key_file: %q}
push: {public_url: "https://b.example"}
log: {format: json}
%s`, s.apps, s.push, s.admin, component, s.secret, pushToken, aesKey, own, appSecret, s.upstream, s.proxy, s.store, key, s.more)
	s.write(config, text)
	s.write(key, strings.Repeat("1", 64))
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.process = exec.Command(path, "serve", "--config", config)
	s.process.Dir, s.process.Stderr = s.dir, log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = log.Close() // the program has its own
	s.t.Cleanup(s.end)
	s.until("the page is there", func() bool {
		res, err := http.Get(s.url("/page.css"))
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil
	})
}

func (s *sidecar) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// end ends the program as a rolling restart does, if it runs.
func (s *sidecar) end() {
	if s.process != nil {
		_ = s.process.Process.Signal(syscall.SIGTERM)
		_ = s.process.Wait()
		s.process = nil
	}
}

func (s *sidecar) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", s.admin, path) }

// ticket pushes a ticket, and waits until all merchants are known.
func (s *sidecar) ticket() {
	s.t.Helper()
	s.until("a ticket is taken", func() bool { return s.sim.PushTicket(s.t.Context(), component) == nil })
	s.until("the list is read", func() bool {
		text := s.ask("GET", "/api/v1/components/"+component)
		return strings.Contains(text, `"state":"live"`) && strings.Contains(text, `"pending":false,"reading":false`)
	})
}

// ask asks the API, and returns what it answers.
func (s *sidecar) ask(method, path string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url(path), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.send(req)
}

// renew has the token of an account renewed, and waits for the outcome.
func (s *sidecar) renew(appID string) {
	s.t.Helper()
	s.ask("POST", "/api/v1/accounts/"+appID+"/renew?wait=10s")
}

// call makes a call of an app for an account.
func (s *sidecar) call(appID string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/menu/get", s.apps), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Wechat-Appid", appID)
	s.send(req)
}

func (s *sidecar) send(req *http.Request) string {
	s.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

var (
	firstFinding = regexp.MustCompile(`(?s)<article.*?</article>`)
	tags         = regexp.MustCompile(`<[^>]*>`)
)

// first returns what the page says first, without its markup.
func (s *sidecar) first(language string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url("/"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", language)
	page := s.send(req)
	s.seen.WriteString(page)
	return tags.ReplaceAllString(firstFinding.FindString(page), " ")
}

// picture takes pictures of the page in both languages, if they are wanted.
func (s *sidecar) picture(name string) {
	s.t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	chromium := programtest.Need(s.t, "chromium", "chromium")
	for _, language := range []string{"en", "zh-CN"} {
		file := filepath.Join(folder, strings.ReplaceAll(name, " ", "-")+"-"+language[:2]+".png")
		out, err := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,620",
			"--user-data-dir="+s.t.TempDir(), "--screenshot="+file, s.url("/?lang="+language)).CombinedOutput()
		if err != nil {
			s.t.Errorf("%v: %s", err, out)
		}
	}
}

// until polls until is true.
func (s *sidecar) until(what string, is func() bool) {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("in vain: %s\n%s", what, log)
		}
		<-tick.C
	}
}
