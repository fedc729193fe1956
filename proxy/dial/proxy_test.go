package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCheckProxyURL(t *testing.T) {
	good := func(raw string, want proxyURL) {
		t.Helper()
		if got, err := parseProxyURL(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	good("http://10.0.0.8:3128", proxyURL{scheme: "http", host: "10.0.0.8", port: "3128"})
	good("HTTP://proxy.corp:8080/", proxyURL{scheme: "http", host: "proxy.corp", port: "8080"})
	good("https://u:p@[::1]:443", proxyURL{scheme: "https", host: "::1", port: "443", user: "u", password: "p"})
	good("socks5://u@h:1080", proxyURL{scheme: "socks5", host: "h", port: "1080", user: "u"})
	good("socks5://a%3Ab:p%40%25%2F@h:1080", proxyURL{scheme: "socks5", host: "h", port: "1080", user: "a:b", password: "p@%/"})
	bad := func(raw, want string) {
		t.Helper()
		err := CheckProxyURL(raw)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v; want %q", raw, err, want)
		}
	}
	bad("10.0.0.8:3128", "no scheme")
	bad("ftp://h:1", "none of http, https and socks5")
	bad("socks4://h:1", "none of http, https and socks5")
	bad("socks5h://h:1", "write socks5://")
	bad("http://u:s3cr3t@h", "has no port")
	bad("http://h:0", "port is not a number")
	bad("http://h:65536", "port is not a number")
	bad("http://h:", "has no port")
	bad("http://:3128", "has no host")
	bad("http://h:3128/path", "more than a host")
	bad("http://h:3128?s3cr3t", "more than a host")
	bad("http://u:12/s3cr3t@h:3128", "%2F")
	bad("http://u:12#s3cr3t@h:3128", "%23")
	bad("http://u:s3cr3t/x@h:3128", "escape")
	bad("http://u:s3cr3t%zz@h:3128", "escape")
	bad("http://:s3cr3t@h:3128", "without a user's name")
	bad("http://a%3Ab:s3cr3t@h:3128", "colon")
	bad("http://u:s3cr3t%0a@h:3128", "control character")
	bad("socks5://"+strings.Repeat("u", 256)+":s3cr3t@h:1080", "255 bytes")
	bad("\"http://u:s3cr3t@h:3128\"", "not a URL")
}

// asks serves connections with f until the test ends, and returns a proxy there.
func asks(t *testing.T, scheme, credentials string, f func(net.Conn)) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer nc.Close(); f(nc) }()
		}
	}()
	p, err := NewProxy(scheme+"://"+credentials+ln.Addr().String(), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answers is an HTTP proxy that answers each CONNECT with text.
func answers(text string) func(net.Conn) {
	return func(nc net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(nc)); err == nil {
			io.WriteString(nc, text)
			io.Copy(io.Discard, nc)
		}
	}
}

// wantProxyError makes a connection that must fail and checks the words.
func wantProxyError(t *testing.T, p *Proxy, elsewhere bool, want string) {
	t.Helper()
	nc, err := p.Dial(t.Context(), "api.weixin.qq.com", "443")
	if err == nil {
		nc.Close()
	}
	var failed *ProxyError
	if !errors.As(err, &failed) || failed.Elsewhere != elsewhere || !strings.Contains(failed.Reason, want) ||
		!strings.Contains(failed.Reason, "upstream.proxy") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("%v; want %q, elsewhere %v", err, want, elsewhere)
	}
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(failed.Reason, "127.0.0.1") {
		t.Errorf("%v is taken for a timeout of WeChat's, or shows an address", err)
	}
}

func TestProxy_Connect(t *testing.T) {
	seen := make(chan *http.Request, 1)
	p := asks(t, "http", "us%20er:s3cr3t@", func(nc net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(nc))
		if err != nil {
			return
		}
		seen <- r
		// What comes right behind the answer is the host's. A 1xx and a length mean nothing.
		io.WriteString(nc, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	})
	nc, err := p.Dial(t.Context(), "api.weixin.qq.com", "443")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if said, err := io.ReadAll(nc); string(said) != "hello" || err != nil {
		t.Errorf("the host said %q, %v", said, err)
	}
	if _, ok := nc.(*net.TCPConn); !ok {
		t.Errorf("the connection is a %T, which cannot be looked into", nc)
	}
	r := <-seen
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("us er:s3cr3t"))
	if r.Method != "CONNECT" || r.Host != "api.weixin.qq.com:443" || r.Header.Get("Proxy-Authorization") != want {
		t.Errorf("%s %s %v", r.Method, r.Host, r.Header)
	}
	if via := []byte(r.Header.Get("Via")); !p.Returned(via) || p.Returned(nil) || (*Proxy)(nil).Returned(via) {
		t.Errorf("Via %q is not known again", via)
	}
}

func TestProxy_Answers(t *testing.T) {
	f := func(answer string, elsewhere bool, want string) {
		t.Helper()
		wantProxyError(t, asks(t, "http", "u:s3cr3t@", answers(answer)), elsewhere, want)
	}
	f("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", false, "credentials refused (upstream.proxy): the proxy answered 407")
	f("HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n", false, "does not take Basic")
	f("HTTP/1.0 401 Unauthorized\r\n\r\n", false, "credentials refused (upstream.proxy): the proxy answered 401")
	f("HTTP/1.1 403 No\r\n\r\n", false, "refuses api.weixin.qq.com:443")
	f("HTTP/1.1 302 No\r\nLocation: http://login\r\n\r\n", false, "302")
	f("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, "101")
	f("HTTP/1.1 502 No\r\n\r\n", true, "does not reach api.weixin.qq.com:443")
	f("HTTP/1.0 500 Unable to connect\r\n\r\n", true, "500")
	f("SSH-2.0-OpenSSH_9.2\r\n\r\n", false, "not an HTTP proxy's")
	f("HTTP/1.1 200\nno colon\n\n", false, "not an HTTP proxy's")
	f("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: y\r\n", 3000), false, "not an HTTP proxy's")
	f(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20), false, "not an HTTP proxy's")
	wantProxyError(t, asks(t, "http", "", answers("HTTP/1.1 407 No\r\n\r\n")), false, "none are given")
	wantProxyError(t, asks(t, "http", "", func(nc net.Conn) { nc.Read(make([]byte, 1)) }), false, "ended the connection")
	wantProxyError(t, asks(t, "https", "", answers("HTTP/1.1 200 OK\r\n\r\n")), false, "no TLS")
}

func TestProxy_SOCKSAnswers(t *testing.T) {
	f := func(credentials, answer string, elsewhere bool, want string) {
		t.Helper()
		p := asks(t, "socks5", credentials, func(nc net.Conn) {
			nc.Read(make([]byte, 1))
			io.WriteString(nc, answer)
			if tc, ok := nc.(*net.TCPConn); ok {
				tc.CloseWrite()
			}
			io.Copy(io.Discard, nc)
		})
		wantProxyError(t, p, elsewhere, want)
	}
	f("", "HTTP/1.0 400 Bad Request\r\n\r\n", false, "not a SOCKS 5 proxy's")
	f("", "\x05\xff", false, "may want credentials")
	f("u:s3cr3t@", "\x05\x02\x01\x01", false, "credentials refused (upstream.proxy)")
	f("u:s3cr3t@", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", false, "refuses api.weixin.qq.com:443")
	f("u:s3cr3t@", "\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", true, "does not reach api.weixin.qq.com:443")
	f("", "\x05", false, "ended the connection")
}

// The proxy is spoken to by TLS, and the host inside by whatever the caller speaks.
func TestProxy_TLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		nc, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer nc.Close()
		line, _ := buf.ReadString('\n')
		io.WriteString(nc, r.Host+" "+line)
	}))
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	p, err := NewProxy("https://"+srv.Listener.Addr().String(), roots, Options{})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := p.Dial(t.Context(), "mp.weixin.qq.com", "443")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "ping\n")
	said, _ := bufio.NewReader(nc).ReadString('\n')
	if _, ok := nc.(*tls.Conn); !ok || said != "mp.weixin.qq.com:443 ping\n" {
		t.Errorf("%T, %q", nc, said)
	}
}

// A proxy that takes connections and says nothing costs the caller's time and no more.
func TestProxy_Hangs(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5"} {
		synctest.Test(t, func(t *testing.T) {
			p, err := NewProxy(scheme+"://10.0.0.8:3128", nil, Options{})
			if err != nil {
				t.Fatal(err)
			}
			var peer net.Conn
			p.host.Connect = func(context.Context, string, string) (nc net.Conn, err error) {
				nc, peer = net.Pipe()
				go io.Copy(io.Discard, peer)
				return nc, nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), Timeout)
			defer cancel()
			began := time.Now()
			_, err = p.Dial(ctx, "api.weixin.qq.com", "443")
			var failed *ProxyError
			if !errors.As(err, &failed) || time.Since(began) != Timeout {
				t.Errorf("%s: %v after %s", scheme, err, time.Since(began))
			}
			if _, err := peer.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: the connection is still open", scheme)
			}
			peer.Close()
		})
	}
}

func TestProxy_LoopIsRefused(t *testing.T) {
	own := &OwnAddresses{}
	own.Add(tcpAddr("127.0.0.1:7080"))
	p, err := NewProxy("http://127.0.0.1:7080", nil, Options{Own: own})
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Name: "api.weixin.qq.com", Port: "443", Proxy: p}
	if err := h.CheckLoop(t.Context()); !errors.Is(err, ErrLoop) || !strings.Contains(err.Error(), "upstream.proxy") || !strings.Contains(err.Error(), "hint: ") {
		t.Errorf("at start: %v", err)
	}
	wantProxyError(t, p, false, "listener of this sidecar")
}
