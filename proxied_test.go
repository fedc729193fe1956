//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// proxyAddress is where the proxies call from. Whoever comes from elsewhere has gone
// past them.
const proxyAddress = "127.0.0.9"

// realProxy is a Debian proxy on a port that stays the same over restarts. It alone
// knows WeChat's names: its hosts file is one of its own.
type realProxy struct {
	t        *testing.T
	kind     string // tinyproxy or microsocks
	dir      string
	port     string
	user     string
	password string
	// parent is the HTTP proxy that it calls through; empty for none.
	parent  string
	process *exec.Cmd
}

func newRealProxy(t *testing.T, kind, user, password string) *realProxy {
	t.Helper()
	p := &realProxy{t: t, kind: kind, dir: t.TempDir(), port: freePort(t), user: user, password: password}
	const hosts = "127.0.0.1 localhost api.weixin.qq.com api2.weixin.qq.com mp.weixin.qq.com\n"
	if err := os.WriteFile(filepath.Join(p.dir, "hosts"), []byte(hosts), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

// freePort returns a port that nobody listens on at the moment.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// start runs the proxy with its credentials, and returns when it listens.
func (p *realProxy) start() {
	p.t.Helper()
	args := []string{"microsocks", "-i", "127.0.0.1", "-p", p.port, "-b", proxyAddress, "-u", p.user, "-P", p.password}
	if p.kind == "tinyproxy" {
		config := fmt.Sprintf("Port %s\nListen 127.0.0.1\nBind %s\nTimeout 60\nMaxClients 50\nLogLevel Critical\nBasicAuth %s %s\n",
			p.port, proxyAddress, p.user, p.password)
		if p.parent != "" {
			config += "Upstream http " + p.parent + "\n"
		}
		if err := os.WriteFile(filepath.Join(p.dir, "tinyproxy.conf"), []byte(config), 0o600); err != nil {
			p.t.Fatal(err)
		}
		args = []string{"tinyproxy", "-d", "-c", "tinyproxy.conf"}
	}
	args = append([]string{"--map-root-user", "--mount", "sh", "-c", `mount --bind hosts /etc/hosts && exec "$0" "$@"`}, args...)
	p.process = exec.Command("unshare", args...)
	p.process.Dir = p.dir
	var out bytes.Buffer
	p.process.Stdout, p.process.Stderr = &out, &out
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	await(p.t, p.kind+" listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (p *realProxy) stop() {
	if p.process != nil {
		_ = p.process.Process.Kill()
		_ = p.process.Wait()
		p.process = nil
	}
}

// url is the value of upstream.proxy.
func (p *realProxy) url() string {
	scheme := map[string]string{"tinyproxy": "http", "microsocks": "socks5"}[p.kind]
	return (&url.URL{Scheme: scheme, Host: "127.0.0.1:" + p.port, User: url.UserPassword(p.user, p.password)}).String()
}

// await calls done until it is true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("%s: never", what)
		}
	}
}

// watchedDoor passes connections on to WeChat and counts where they come from.
type watchedDoor struct {
	net.Listener
	to    string
	mu    sync.Mutex
	peers map[string]int
	open  map[net.Conn]bool
}

func newWatchedDoor(t *testing.T, to string) *watchedDoor {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &watchedDoor{Listener: ln, to: to, peers: map[string]int{}, open: map[net.Conn]bool{}}
	t.Cleanup(d.shut)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go d.pass(conn)
		}
	}()
	return d
}

func (d *watchedDoor) port() string {
	_, port, _ := net.SplitHostPort(d.Addr().String())
	return port
}

func (d *watchedDoor) pass(conn net.Conn) {
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	d.mu.Lock()
	d.peers[host]++
	d.open[conn] = true
	d.mu.Unlock()
	defer func() { _ = conn.Close() }()
	remote, err := net.Dial("tcp", d.to)
	if err != nil {
		return
	}
	defer func() { _ = remote.Close() }()
	go func() { _, _ = io.Copy(remote, conn); _ = remote.Close() }()
	_, _ = io.Copy(conn, remote)
}

// shut closes the door and every connection that came through it.
func (d *watchedDoor) shut() {
	_ = d.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.open {
		_ = conn.Close()
	}
}

// came returns how many came from the proxy and how many from elsewhere.
func (d *watchedDoor) came() (proxied, past int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for host, n := range d.peers {
		if host == proxyAddress {
			proxied += n
		} else {
			past += n
		}
	}
	return proxied, past
}

// proxiedWorld is the real program before a simulated WeChat that only the proxy can
// find.
type proxiedWorld struct {
	t             *testing.T
	sim           *wechattest.Server
	proxy         *realProxy
	first, second *watchedDoor
	apps          string
	log           *lockedLog
	roots         *x509.CertPool
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newProxiedWorld(t *testing.T, proxy *realProxy) *proxiedWorld {
	t.Helper()
	w := &proxiedWorld{t: t, sim: wechattest.New(wechattest.Options{}), proxy: proxy, log: &lockedLog{}, roots: x509.NewCertPool()}
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
		for line := range strings.Lines(w.log.String()) {
			var said struct{ Msg, Listener, Address string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "ready" && said.Listener == "apps" {
				w.apps = said.Address
			}
		}
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

// TestProxied runs the real program behind real proxies: app calls, token calls,
// tunnels and the fallback go through them, what fails there is told as the proxy's,
// and nothing but its return is needed.
func TestProxied(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "wxsidecar")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for kind, password := range map[string]string{"tinyproxy": "s3cr3t.pw", "microsocks": "s3cr3t@:/%?#"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newProxiedWorld(t, newRealProxy(t, kind, "way-user", password))
			w.proxy.start()
			w.serve(binary, w.proxy.url(), "127.0.0.1:0")
			defer w.check()
			w.fine("at first")
			if status, inside := w.tunnel(); inside != 200 {
				t.Errorf("tunnel: %s, inside %d", status, inside)
			}
			proxied, _ := w.first.came()
			if n := w.sim.TokensIssued(scriptAccount); n != 1 || proxied < 3 {
				t.Errorf("%d tokens; %d connections of app, broker and tunnel through the proxy", n, proxied)
			}

			w.first.shut()
			w.fine("when the first host is gone")
			if proxied, _ := w.second.came(); proxied == 0 {
				t.Error("the fallback was not reached through the proxy")
			}

			w.proxy.stop()
			w.refused(4, "when the proxy is down", "upstream_unreachable", "cannot connect to the proxy")
			w.proxy.password = "another"
			w.proxy.start()
			w.refused(4, "when it wants another password", "upstream_unreachable", "credentials refused (upstream.proxy)")
			if status, _ := w.tunnel(); !strings.Contains(status, "502") || !strings.Contains(status, "credentials refused (upstream.proxy)") {
				t.Errorf("tunnel: %s", status)
			}
			w.proxy.stop()
			w.proxy.password = password
			w.proxy.start()
			w.fine("when it is back")
			if n := strings.Count(w.log.String(), `"msg":"upstream host is out"`); n > 1 {
				t.Errorf("%d hosts were taken out, and only the first was gone", n)
			}
		})
		t.Run(kind+"/credentials", func(t *testing.T) {
			t.Parallel()
			w := newProxiedWorld(t, newRealProxy(t, kind, "way-user", password))
			w.proxy.password = "another"
			w.proxy.start()
			w.proxy.password = password
			w.serve(binary, w.proxy.url(), "127.0.0.1:0")
			defer w.check()
			w.refused(1, "without a token", "retrying", "credentials refused (upstream.proxy)")
			w.proxy.stop()
			w.proxy.start()
			await(t, "the broker notices the proxy's return", func() bool {
				_, code, _ := w.call("GET")
				return code == ""
			})
		})
	}
	t.Run("loop", func(t *testing.T) {
		t.Parallel()
		w := newProxiedWorld(t, newRealProxy(t, "tinyproxy", "way-user", "s3cr3t.pw"))
		apps := "127.0.0.1:" + freePort(t)
		w.proxy.parent = apps
		w.proxy.start()
		w.serve(binary, w.proxy.url(), apps)
		if status, _ := w.tunnel(); !strings.HasPrefix(status, "502") || !strings.Contains(status, "the proxy refuses mp.weixin.qq.com") {
			t.Errorf("a tunnel that comes back: %s", status)
		}
		if log := w.log.String(); !strings.Contains(log, "upstream.proxy leads to the sidecar") {
			t.Errorf("the log does not say why:\n%s", log)
		}
	})
}
