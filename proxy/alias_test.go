package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestAlias(t *testing.T) {
	up := newWeChat(t, echo)
	config, roots := interception(t)
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: up.URL}, Connect: ConnectOptions{TLS: config}})
	listen := func(serve func(net.Listener) error) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = serve(ln) }() // ends with the shutdown of s
		return ln.Addr().String()
	}
	plain, secure := listen(s.Serve), listen(s.ServeAliasTLS)
	// The dialer stands in for the entry in the hosts file.
	var at string
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, at)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport}
	f := func(url, addr string, want int) {
		t.Helper()
		s.url, at = url, addr
		got := s.call(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
		if want == 0 {
			if got.err == nil {
				t.Errorf("%s: %+v", url, got)
			}
			return
		}
		if got.err != nil || got.status != want || want == 200 && !strings.Contains(got.body, "tok-authorizer-"+merchant) {
			t.Errorf("%s: %+v", url, got)
		}
	}
	f("https://api.weixin.qq.com", secure, 200)
	f("https://sz.api.weixin.qq.com", secure, 200)
	f("http://api.weixin.qq.com", plain, 200)
	f("http://file.api.weixin.qq.com", plain, 200)
	f("https://mp.weixin.qq.com", secure, 403)
	f("https://api.weixin.qq.com.evil.example", secure, 0)
}

func TestAlias_NeedsTLS(t *testing.T) {
	s := start(t, Options{Source: platform()})
	if err := s.ServeAliasTLS(nil); err == nil {
		t.Error("it serves without a certificate")
	}
}
