package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/mitm"
)

// interception returns a CA's TLS configuration and what apps must trust.
func interception(tb testing.TB) (*tls.Config, *x509.CertPool) {
	tb.Helper()
	kept, err := mitm.Create(time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	ca, err := mitm.New(mitm.Options{PEM: kept})
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertificatePEM())
	return ca.TLSConfig("api.weixin.qq.com"), roots
}

// throughProxy makes s's client one that knows the sidecar only as HTTPS_PROXY.
func (s *sidecar) throughProxy(tb testing.TB, roots *x509.CertPool, user *url.Userinfo) {
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: s.addr, User: user}),
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}
	tb.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport}
}

func TestConnect_Intercepts(t *testing.T) {
	up := newWeChat(t, echo)
	config, roots := interception(t)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Connect: ConnectOptions{TLS: config}})
	s.throughProxy(t, roots, nil)
	for _, host := range []string{"api.weixin.qq.com", "api2.weixin.qq.com", "sh.api.weixin.qq.com"} {
		s.url = "https://" + host
		for range 2 {
			got := s.call(t, "POST", "/cgi-bin/message/custom/send", `{"a":1}`, forMerchant())
			if got.err != nil || got.status != 200 || !strings.Contains(got.body, "tok-authorizer-"+merchant) {
				t.Errorf("%s: %+v", host, got)
			}
		}
	}
	s.url = "https://api.weixin.qq.com"
	if got := s.call(t, "GET", "/x", "", forMerchant(), "Origin: http://evil.example"); got.fault() != "browser_refused" {
		t.Errorf("a browser inside a tunnel: %+v", got)
	}
}

func TestConnect_TellsAppsThatDoNotTrust(t *testing.T) {
	config, _ := interception(t)
	hint := &sought{want: "wxsidecar ca", found: make(chan struct{})}
	s := start(t, Options{Source: platform(), Connect: ConnectOptions{TLS: config}, Log: slog.New(slog.NewTextHandler(hint, nil))})
	s.throughProxy(t, x509.NewCertPool(), nil)
	s.url = "https://api.weixin.qq.com"
	if got := s.call(t, "GET", "/x", ""); got.err == nil {
		t.Fatalf("taken without trust: %+v", got)
	}
	select {
	case <-hint.found:
	case <-time.After(30 * time.Second):
		t.Error("the log does not say what to do")
	}
}

// sought is a log that waits for a text.
type sought struct {
	want  string
	once  sync.Once
	found chan struct{}
}

func (s *sought) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.want) {
		s.once.Do(func() { close(s.found) })
	}
	return len(p), nil
}

func TestConnect_OnlyHTTP11(t *testing.T) {
	config, roots := interception(t)
	s := start(t, Options{Source: platform(), Connect: ConnectOptions{TLS: config}})
	f := func(want bool, protocols ...string) {
		t.Helper()
		conn, _ := dialConnect(t, s.addr, "api.weixin.qq.com:443", "")
		tc := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "api.weixin.qq.com", NextProtos: protocols})
		err := tc.Handshake()
		if (err == nil) != want {
			t.Errorf("%v: %v", protocols, err)
		}
		if p := tc.ConnectionState().NegotiatedProtocol; err == nil && p != "http/1.1" {
			t.Errorf("%v: speaks %q", protocols, p)
		}
	}
	f(true, "h2", "http/1.1")
	f(false, "h2")
}

// dialConnect sends a CONNECT, with data right behind it, and returns the
// connection and the status of the answer.
func dialConnect(tb testing.TB, addr, target, data string, headers ...string) (net.Conn, int) {
	tb.Helper()
	return dialConnectTo(tb, addr, target, data, &http.Response{}, headers...)
}

// dialConnectTo is dialConnect, and stores the answer in answer.
func dialConnectTo(tb testing.TB, addr, target, data string, answer *http.Response, headers ...string) (net.Conn, int) {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	head := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	io.WriteString(conn, head+"\r\n"+data)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
	if err != nil {
		tb.Fatal(err)
	}
	if resp.StatusCode == 200 && (len(resp.Header) > 0 || resp.ContentLength > 0) {
		tb.Errorf("the answer to CONNECT has headers: %v", resp.Header)
	}
	*answer = *resp
	return &readAhead{conn, br}, resp.StatusCode
}

type readAhead struct {
	net.Conn
	br *bufio.Reader
}

func (c *readAhead) Read(p []byte) (int, error) { return c.br.Read(p) }

func TestConnect_Callers(t *testing.T) {
	up := newWeChat(t, echo)
	config, roots := interception(t)
	s := start(t, Options{
		Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Connect: ConnectOptions{TLS: config, Allow: []string{"*"}},
		Callers: []Caller{
			{Name: "shop", KeySHA256: keysOf("shop-key"), AppIDs: []string{merchant}},
			{Name: "bank", KeySHA256: keysOf("bank-key")},
		},
	})
	s.url = "https://api.weixin.qq.com"
	f := func(what string, user *url.Userinfo, want int, headers ...string) {
		t.Helper()
		s.throughProxy(t, roots, user)
		got := s.call(t, "GET", "/cgi-bin/menu/get", "", headers...)
		if want == 0 && got.err == nil || want != 0 && got.status != want {
			t.Errorf("%s: %+v", what, got)
		}
	}
	shop := url.UserPassword("any", "shop-key")
	f("by proxy credentials", shop, 200, forMerchant())
	f("another's account", shop, 403, "X-Wechat-Appid: "+merchant2)
	f("a wrong key", url.UserPassword("any", "wrong"), 0, forMerchant())
	f("nothing at all", nil, 403, forMerchant())
	f("by a header inside", nil, 200, forMerchant(), "X-Wxsidecar-Key: shop-key")
	f("a header inside counts more", shop, 200, "X-Wechat-Appid: "+merchant2, "X-Wxsidecar-Key: bank-key")
	const bank = "Proxy-Authorization: Basic YW55OmJhbmsta2V5" // as Java's HttpURLConnection sends what it was given by hand
	f("proxy credentials inside count more", shop, 200, "X-Wechat-Appid: "+merchant2, bank)
	if _, status := dialConnect(t, s.addr, "api.weixin.qq.com:443", "", "X-Wxsidecar-Key: wrong"); status != 403 {
		t.Errorf("a wrong key: %d", status)
	}
}

// Who shows no key for a tunnel is asked for one, since many clients send proxy
// credentials only then; an API host does not ask, and a wrong key is refused.
func TestConnect_AsksForCredentials(t *testing.T) {
	o := &outside{names: map[string][]string{"shop.example": {"93.184.216.34"}}}
	s := startTunnels(t, o, "shop.example")
	callers := []Caller{{Name: "shop", KeySHA256: keysOf("shop-key")}}
	if err := s.SetCallers(callers); err != nil {
		t.Fatal(err)
	}
	f := func(target string, want int, headers ...string) {
		t.Helper()
		answer := &http.Response{}
		if dialConnectTo(t, s.addr, target, "", answer, headers...); answer.StatusCode != want {
			t.Errorf("%s %q: %d, want %d", target, headers, answer.StatusCode, want)
		}
		if asked := answer.Header.Get("Proxy-Authenticate"); (asked == `Basic realm="wxsidecar"`) != (want == 407) {
			t.Errorf("%s %q: %d asks for %q", target, headers, answer.StatusCode, asked)
		}
	}
	const right, wrong = "Proxy-Authorization: Basic YW55OnNob3Ata2V5", "Proxy-Authorization: Basic YW55Ondyb25n"
	f("shop.example:443", 407)
	if o.asked > 0 || len(o.take()) > 0 {
		t.Error("a name was looked up, or somebody called, for one who showed no key")
	}
	f("shop.example:443", 200, right)
	f("shop.example:443", 403, wrong)
	f("shop.example:443", 403, "Proxy-Authorization: Bearer shop-key")
	f("other.example:443", 403) // no key would help
	f("169.254.169.254:443", 403)
	f("api.weixin.qq.com:443", 200)
	f("api.weixin.qq.com:443", 403, wrong)
}
