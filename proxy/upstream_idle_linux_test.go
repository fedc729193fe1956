package proxy

import (
	"bufio"
	"crypto/tls"
	"net"
	"runtime"
	"strings"
	"testing"
)

// A server that closes its idle connections costs no call once its end has arrived,
// over TLS neither.
func TestRoundTrip_ClosedWhileIdle(t *testing.T) {
	config, roots := tlsIdentity(t)
	for name, end := range map[string]func(c net.Conn){
		"closes": func(net.Conn) {},
		"resets": func(c net.Conn) { reset(c) },
	} {
		for _, secure := range []bool{false, true} {
			up := newRaw(t, func(_ int, raw net.Conn, br *bufio.Reader) {
				c := raw
				if secure {
					c = tls.Server(raw, config)
					defer c.Close()
					br = bufio.NewReader(c)
				}
				if _, _, err := readRequest(br); err == nil {
					reply(c, okAnswer)
				}
				end(raw)
			})
			o := UpstreamOptions{URL: up.url, RootCAs: roots}
			if secure {
				o.URL = strings.Replace(up.url, "http:", "https:", 1)
			}
			s := start(t, Options{Source: platform(), Upstream: o})
			const calls = 50
			failed := 0
			for range calls {
				if got := s.call(t, "POST", "/x", smallPost, forMerchant()); got.body != okAnswer {
					failed++
				}
				awaitEnd(&s.upstream.hosts[0].pool)
			}
			if failed != 0 || up.conns.Load() != calls {
				t.Errorf("%s, TLS %v: %d of %d calls failed, %d connections", name, secure, failed, calls, up.conns.Load())
			}
		}
	}
}

// awaitEnd waits until the connection that was kept last has ended.
func awaitEnd(p *pool) {
	for quiet := true; quiet; runtime.Gosched() {
		p.mu.Lock()
		n := len(p.idle)
		quiet = n > 0 && p.idle[n-1].usable()
		p.mu.Unlock()
	}
}
