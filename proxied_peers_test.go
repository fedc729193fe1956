//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
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
	p := &realProxy{t: t, kind: kind, dir: t.TempDir(), port: strconv.Itoa(programtest.FreePort(t)), user: user, password: password}
	const hosts = "127.0.0.1 localhost api.weixin.qq.com api2.weixin.qq.com mp.weixin.qq.com\n"
	if err := os.WriteFile(filepath.Join(p.dir, "hosts"), []byte(hosts), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
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
