//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// proxiedWorld is the real program before a simulated WeChat that only the proxy can
// find.
type proxiedWorld struct {
	t             *testing.T
	sim           *wechattest.Server
	proxy         *realProxy
	first, second *watchedDoor
	apps          string
	log           *programLog
	roots         *x509.CertPool
}

func newProxiedWorld(t *testing.T, proxy *realProxy) *proxiedWorld {
	t.Helper()
	w := &proxiedWorld{t: t, sim: wechattest.New(wechattest.Options{}), proxy: proxy, log: &programLog{}, roots: x509.NewCertPool()}
	t.Cleanup(w.sim.Close)
	w.sim.AddAccount(scriptAccount, scriptAppSecret)
	w.sim.StartTLS()
	w.first, w.second = newWatchedDoor(t, w.sim.Addr()), newWatchedDoor(t, w.sim.Addr())
	w.roots.AppendCertsFromPEM(w.sim.CACertPEM())
	return w
}

// serve starts the program. way is upstream.proxy, apps the apps listener's address.
func (w *proxiedWorld) serve(binary, way, apps string) {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, text := range map[string]string{"ca.pem": string(w.sim.CACertPEM()), "proxy": way + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	cmd := exec.Command(binary, "serve")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"WXSIDECAR_ACCOUNTS_0_APPID="+scriptAccount, "WXSIDECAR_ACCOUNTS_0_SECRET="+scriptAppSecret,
		"WXSIDECAR_LISTEN_APPS="+apps, "WXSIDECAR_LISTEN_PUSH=off", "WXSIDECAR_LISTEN_METRICS=off", "WXSIDECAR_LISTEN_ADMIN=off",
		"WXSIDECAR_UPSTREAM_URL=https://api.weixin.qq.com:"+w.first.port(), "WXSIDECAR_UPSTREAM_FALLBACK=https://api2.weixin.qq.com:"+w.second.port(),
		"WXSIDECAR_UPSTREAM_CA_FILE=ca.pem", "WXSIDECAR_UPSTREAM_PROXY_FILE=proxy", "WXSIDECAR_STORE=memory:",
		"WXSIDECAR_CONNECT_ALLOW=mp.weixin.qq.com:"+w.first.port(), "WXSIDECAR_LOG_FORMAT=json",
		// Which has no effect, and would lead nowhere.
		"HTTPS_PROXY=http://127.0.0.1:1",
	)
	cmd.Stderr = w.log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	await(w.t, "the program is ready", func() bool {
		w.apps = w.log.at("apps")
		return w.apps != ""
	})
}

// call makes a call of an app and returns status, code and body.
func (w *proxiedWorld) call(method string) (status int, code, body string) {
	w.t.Helper()
	req, err := http.NewRequest(method, "http://"+w.apps+"/cgi-bin/menu/get", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("X-Wxsidecar-Error"), string(text)
}

// fine makes calls that must come back good. GET is first: where a connection has just
// ended that is not known yet, only GET may be sent again.
func (w *proxiedWorld) fine(when string) {
	w.t.Helper()
	for _, method := range []string{"GET", "POST"} {
		if status, code, body := w.call(method); status != 200 || code != "" {
			w.t.Errorf("%s: %s: %d %s %s", when, method, status, code, body)
		}
	}
}

// refused wants n calls to fail with these words.
func (w *proxiedWorld) refused(n int, when, code, want string) {
	w.t.Helper()
	for range n {
		_, got, body := w.call("POST")
		if got != code || !strings.Contains(body, want) || !strings.Contains(body, "upstream.proxy") || !strings.Contains(body, `"errcode":-1`) {
			w.t.Errorf("%s: %s %s; want %s, %q", when, got, body, code, want)
		}
	}
}

// tunnel opens a tunnel to mp.weixin.qq.com and makes a call inside.
func (w *proxiedWorld) tunnel() (status string, inside int) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.apps)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	target := "mp.weixin.qq.com:" + w.first.port()
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		text, _ := io.ReadAll(resp.Body)
		return resp.Status + " " + string(text), 0
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: w.roots, ServerName: "api.weixin.qq.com"})
	if _, err := io.WriteString(secure, "GET /cgi-bin/get_api_domain_ip HTTP/1.1\r\nHost: mp.weixin.qq.com\r\n\r\n"); err != nil {
		w.t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(secure), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return resp.Status, answer.StatusCode
}

// check is the end of a world: nobody went past the proxy, and no log shows how it is
// asked.
func (w *proxiedWorld) check() {
	w.t.Helper()
	for _, door := range []*watchedDoor{w.first, w.second} {
		if _, past := door.came(); past != 0 {
			w.t.Errorf("%d connections went past the proxy", past)
		}
	}
	log := w.log.String()
	basic := base64.StdEncoding.EncodeToString([]byte(w.proxy.user + ":" + w.proxy.password))
	for _, secret := range []string{w.proxy.user, w.proxy.password, url.UserPassword(w.proxy.user, w.proxy.password).String(), basic} {
		if strings.Contains(log, secret) {
			w.t.Errorf("the log shows the proxy's credentials:\n%s", log)
		}
	}
	if strings.Contains(log, "WeChat does not answer") {
		w.t.Errorf("the log blames WeChat:\n%s", log)
	}
	if strings.Contains(log, "HTTPS_PROXY") {
		w.t.Errorf("upstream.proxy is set, and still the log warns of the variable:\n%s", log)
	}
}
