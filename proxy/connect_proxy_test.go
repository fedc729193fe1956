package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// wayOut is a proxy for CONNECT, and notes what it is asked for.
type wayOut struct {
	ln     net.Listener
	answer func(target string) string // the head of an answer; empty for a tunnel
	to     string                     // where tunnels really lead

	mu      sync.Mutex
	targets []string
	via     string
}

func newWayOut(t *testing.T, to string) *wayOut {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wayOut{ln: ln, to: to, answer: func(string) string { return "" }}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer nc.Close(); w.serve(nc) })
		}
	})
	return w
}

func (w *wayOut) serve(nc net.Conn) {
	in := bufio.NewReader(nc)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.targets, w.via = append(w.targets, r.Host), r.Header.Get("Via")
	w.mu.Unlock()
	if text := w.answer(r.Host); text != "" {
		io.WriteString(nc, text)
		return
	}
	remote, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer remote.Close()
	io.WriteString(nc, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(remote, in)
		remote.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(nc, remote)
	nc.(*net.TCPConn).CloseWrite()
	<-done
}

// take returns what was asked for since the last call.
func (w *wayOut) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	targets := w.targets
	w.targets = nil
	return targets
}

// proxy is w as upstream.proxy.
func (w *wayOut) proxy(t *testing.T, own *dial.OwnAddresses) *dial.Proxy {
	t.Helper()
	p, err := dial.NewProxy("http://user:s3cr3t@"+w.ln.Addr().String(), nil, dial.Options{Own: own})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// With upstream.proxy a tunnel's host goes to the proxy by name. Addresses that are
// listed are in a network of ours; those that are not stay out of reach, and so do
// names that no public host has, where '*' is all that allows them.
func TestConnect_ThroughTheProxy(t *testing.T) {
	w := newWayOut(t, echoServer(t))
	o := &outside{}
	config, _ := interception(t)
	s := start(t, Options{
		Source: platform(), Upstream: UpstreamOptions{Proxy: w.proxy(t, nil)},
		Connect: ConnectOptions{TLS: config, Allow: []string{"*", "*.weixin.qq.com", "*.corp", "git.internal", "10.1.0.0/16", "192.168.5.5"}},
	})
	s.connect.lookup, s.connect.dial = o.lookup, o.dial
	f := func(target string, status int, proxied, straight string) {
		t.Helper()
		conn, got := dialConnect(t, s.addr, target, "")
		conn.Close()
		if p, d := strings.Join(w.take(), " "), strings.Join(o.take(), " "); got != status || p != proxied || d != straight || o.asked > 0 {
			t.Errorf("%s: %d, the proxy was asked for %q, dialled %q, %d lookups", target, got, p, d, o.asked)
		}
	}
	f("mp.weixin.qq.com:443", 200, "mp.weixin.qq.com:443", "")
	f("Public.Example.:443", 200, "public.example:443", "")
	f("93.184.216.34:443", 200, "93.184.216.34:443", "")
	f("git.internal:443", 200, "git.internal:443", "")
	f("shop.corp:443", 200, "shop.corp:443", "")
	f("10.1.2.3:443", 200, "", "10.1.2.3:443")
	f("192.168.5.5:443", 200, "", "192.168.5.5:443")
	for _, private := range []string{
		"10.2.0.1", "127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.2.0.1]", "[fd00::1]", "2130706433", "127.1",
		"localhost", "a.localhost", "metadata", "metadata.google.internal", "printer.local", "kubernetes.default.svc", "x.svc.cluster.local",
	} {
		f(private+":443", 403, "", "")
	}
}

// What the host says first comes right behind the proxy's answer.
func TestConnect_ThroughTheProxy_BytesBehindTheAnswer(t *testing.T) {
	w := newWayOut(t, "")
	w.answer = func(string) string { return "HTTP/1.1 200 OK\r\n\r\n220 mail.example ESMTP\r\n" }
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{Proxy: w.proxy(t, nil)}, Connect: ConnectOptions{Allow: []string{"mail.example:25"}}})
	conn, status := dialConnect(t, s.addr, "mail.example:25", "")
	defer conn.Close()
	if said, err := io.ReadAll(conn); status != 200 || string(said) != "220 mail.example ESMTP\r\n" || err != nil {
		t.Errorf("%d %q %v", status, said, err)
	}
}

func TestConnect_ThroughTheProxy_Failures(t *testing.T) {
	w := newWayOut(t, "")
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{Proxy: w.proxy(t, nil)}, Connect: ConnectOptions{Allow: []string{"*"}}})
	f := func(answer, want string) {
		t.Helper()
		w.answer = func(string) string { return answer }
		got := rawCall(t, s.addr, "CONNECT public.example:443 HTTP/1.1\r\nHost: public.example:443\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "connect_failed") || !strings.Contains(got, want) || strings.Contains(got, "127.0.0.1") {
			t.Errorf("%q; want %q", got, want)
		}
	}
	f("HTTP/1.1 407 No\r\n\r\n", "credentials refused (upstream.proxy)")
	f("HTTP/1.1 502 No\r\n\r\n", "the proxy does not reach public.example:443 (upstream.proxy)")
	f("nonsense\r\n\r\n", "not an HTTP proxy's (upstream.proxy)")
	w.ln.Close()
	f("", "cannot connect to the proxy (upstream.proxy)")
	if strings.Contains(s.logged.String(), "s3cr3t") {
		t.Error("the password is in the log")
	}
}

// A proxy that sends our own CONNECT back to us would have us call ourselves without
// end.
func TestConnect_ThatComesBackIsRefused(t *testing.T) {
	w := newWayOut(t, echoServer(t))
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{Proxy: w.proxy(t, nil)}, Connect: ConnectOptions{Allow: []string{"*"}}})
	conn, status := dialConnect(t, s.addr, "public.example:443", "")
	conn.Close()
	if w.take(); status != 200 || w.via == "" {
		t.Fatalf("%d, Via %q", status, w.via)
	}
	for _, target := range []string{"public.example:443", "api.weixin.qq.com:443"} {
		for _, via := range []string{w.via, w.via + ", 1.0 other (squid/6.6)"} {
			got := rawCall(t, s.addr, fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\nvia: %s\r\n\r\n", target, target, via))
			if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, "upstream.proxy leads to the sidecar") {
				t.Errorf("%s: %q", target, got)
			}
		}
	}
	if asked := w.take(); !slices.Equal(asked, nil) {
		t.Errorf("the proxy was asked for %v", asked)
	}
}

// Calls go to the proxy by the name of their host. What fails there is told as its
// fault, is sent nowhere, and takes no host out; with its return calls go on.
func TestUpstream_ProxyFailures(t *testing.T) {
	up := newWeChat(t, echo)
	w := newWayOut(t, strings.TrimPrefix(up.URL, "http://"))
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{
		URL: "http://one.example", Fallback: []string{"http://two.example:8080"}, Proxy: w.proxy(t, nil),
	}})
	answer := ""
	w.answer = func(string) string { return answer }
	f := func(method, with, want string, asked ...string) {
		t.Helper()
		answer = with
		for _, h := range s.upstream.hosts {
			h.pool.closeIdle()
		}
		for range hostFailures + 1 {
			got := s.call(t, method, "/cgi-bin/menu/get", "", forMerchant())
			if want == "" && got.status != 200 {
				t.Errorf("%s: %d %q", method, got.status, got.body)
			}
			if want == "" {
				break
			}
			if got.status != 502 || got.fault() != "upstream_unreachable" || !strings.Contains(got.body, `"errcode":-1`) || !strings.Contains(got.body, want) {
				t.Errorf("%s after %q: %d %q; want %q", method, with, got.status, got.body, want)
			}
			wantOurShape(t, with, got)
			if got := w.take(); !slices.Equal(got, asked) {
				t.Errorf("%s after %q: the proxy was asked for %v, want %v", method, with, got, asked)
			}
		}
		w.take()
		for _, h := range s.upstream.hosts {
			if n := h.failures.Load(); n != 0 {
				t.Errorf("after %q: %d failures count against %s", with, n, h.name)
			}
		}
	}
	const one, two = "one.example:80", "two.example:8080"
	for _, method := range []string{"GET", "POST"} {
		f(method, "", "")
		f(method, "HTTP/1.1 407 No\r\n\r\n", "credentials refused (upstream.proxy)", one)
		f(method, "HTTP/1.1 403 No\r\n\r\n", "the proxy refuses one.example:80 (upstream.proxy)", one)
		f(method, "nonsense\r\n\r\n", "not an HTTP proxy's (upstream.proxy)", one)
		// It may reach the other, and nothing was sent.
		f(method, "HTTP/1.1 502 No\r\n\r\n", "the proxy does not reach two.example:8080 (upstream.proxy)", one, two)
		f(method, "", "")
	}
	if n := up.calls.Load(); n != 4 {
		t.Errorf("WeChat got %d calls", n)
	}
	if text := s.logged.String(); strings.Contains(text, "s3cr3t") || strings.Contains(text, "is out") {
		t.Errorf("the log shows the password, or blames a host:\n%s", text)
	}
}

// A host that the proxy does not reach, while it reaches another, is out like any that
// cannot be reached.
func TestUpstream_ProxyReachesTheFallback(t *testing.T) {
	up := newWeChat(t, echo)
	w := newWayOut(t, strings.TrimPrefix(up.URL, "http://"))
	w.answer = func(target string) string {
		if target == "one.example:80" {
			return "HTTP/1.1 503 No\r\n\r\n"
		}
		return ""
	}
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{
		URL: "http://one.example", Fallback: []string{"http://two.example"}, Proxy: w.proxy(t, nil),
	}})
	for range hostFailures + 3 {
		if got := s.call(t, "POST", "/cgi-bin/x", "b", forMerchant()); got.status != 200 {
			t.Errorf("%d %q", got.status, got.body)
		}
	}
	asked := w.take()
	if n := len(slices.DeleteFunc(asked, func(target string) bool { return target != "one.example:80" })); n != hostFailures {
		t.Errorf("the host that is out was asked for %d times, want %d", n, hostFailures)
	}
}

// A proxy whose hosts file, like a pod's, points WeChat's names at the alias leads back
// to the sidecar. Where the sidecar trusts its own authority, as a whole machine may,
// each call would call it again.
func TestLoop_ThroughTheProxyToTheAlias(t *testing.T) {
	config, roots := interception(t)
	alias, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := newWayOut(t, alias.Addr().String())
	s := start(t, Options{
		Source: platform(), DefaultAppID: merchant, Connect: ConnectOptions{TLS: config}, Limits: Limits{MaxInflight: 4},
		Upstream: UpstreamOptions{URL: "https://api.weixin.qq.com", RootCAs: roots, Proxy: w.proxy(t, nil)},
	})
	go func() { _ = s.ServeAliasTLS(alias) }() // ends with the shutdown of s
	got := s.call(t, "POST", "/cgi-bin/x", "b")
	if got.status != 502 || got.fault() != "upstream_unreachable" || !strings.Contains(s.logged.String(), dial.ErrLoop.Error()) {
		t.Errorf("%d %q\n%s", got.status, got.body, s.logged)
	}
	if n := strings.Count(s.logged.String(), "call refused"); n != 1 {
		t.Errorf("%d calls were made of one", n)
	}
}
