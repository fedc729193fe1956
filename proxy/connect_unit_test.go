package proxy

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/dial/dnstest"
)

// inTunnel runs f with the two ends of a tunnel, and returns after how long the
// tunnel ended.
func inTunnel(t *testing.T, f func(tn *tunnel, app, remote net.Conn)) (lasted time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		app, appSide := net.Pipe()
		remote, remoteSide := net.Pipe()
		tn := &tunnel{app: appSide, remote: remoteSide, now: time.Now}
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			tn.run(appSide)
			appSide.Close()
		}()
		f(tn, app, remote)
		<-done
		lasted = time.Since(began)
		app.Close()
		remote.Close()
	})
	return lasted
}

func TestTunnel_EndsWhenNothingMoves(t *testing.T) {
	if lasted := inTunnel(t, func(*tunnel, net.Conn, net.Conn) {}); lasted != tunnelIdle {
		t.Errorf("ended after %s", lasted)
	}
}

func TestTunnel_OneWayKeepsBothOpen(t *testing.T) {
	const pauses = 10
	lasted := inTunnel(t, func(_ *tunnel, app, remote net.Conn) {
		go func() {
			buf := make([]byte, 8)
			for {
				if _, err := app.Read(buf); err != nil {
					return
				}
			}
		}()
		for range pauses {
			time.Sleep(tunnelIdle * 3 / 4)
			if _, err := remote.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}
	})
	if lasted < pauses*tunnelIdle*3/4+tunnelIdle || lasted > pauses*tunnelIdle*3/4+2*tunnelIdle {
		t.Errorf("ended after %s", lasted)
	}
}

func TestTunnel_Drain(t *testing.T) {
	lasted := inTunnel(t, func(tn *tunnel, _, _ net.Conn) {
		time.Sleep(time.Minute)
		tn.drain()
	})
	if lasted != time.Minute+tunnelDrainIdle {
		t.Errorf("ended after %s", lasted)
	}
}

func TestTunnel_EndsWithOneSide(t *testing.T) {
	for _, side := range []int{0, 1} {
		lasted := inTunnel(t, func(_ *tunnel, app, remote net.Conn) {
			[]net.Conn{app, remote}[side].Close()
		})
		if lasted != 0 {
			t.Errorf("side %d: ended after %s", side, lasted)
		}
	}
}

// A handshake that comes drop by drop, or not at all, holds no connection for long.
func TestAppTLSConn_HandshakeHasALimit(t *testing.T) {
	for _, drip := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var wg sync.WaitGroup
			defer wg.Wait()
			app, side := net.Pipe()
			defer app.Close()
			defer side.Close()
			config, _ := interception(t)
			if drip {
				wg.Go(func() {
					hello := []byte{22, 3, 1, 1, 0} // a record of 256 bytes
					for {
						time.Sleep(headTimeout / 10)
						if _, err := app.Write(hello[:1]); err != nil {
							return
						}
						hello = append(hello[1:], 0)
					}
				})
			}
			began := time.Now()
			_, err := newAppTLSConn(side, config, time.Now, slog.New(slog.DiscardHandler)).Read(make([]byte, 1))
			if !isTimeout(err) || time.Since(began) != headTimeout {
				t.Errorf("drip %v: %v after %s", drip, err, time.Since(began))
			}
		})
	}
}

// upstream.resolver is asked for WeChat's names, which the hosts file may point at
// us; a cluster's own names are only the system's to know.
func TestConnector_ResolverIsForWeChat(t *testing.T) {
	server := dnstest.New(t, func(_ string, question []byte) []byte { return dnstest.Answer(question, 0, "93.184.216.34") })
	c, err := newConnector(ConnectOptions{}, UpstreamOptions{Resolver: server})
	if err != nil {
		t.Fatal(err)
	}
	asked := netip.MustParseAddr("93.184.216.34")
	if addrs, err := c.lookup(t.Context(), "mp.weixin.qq.com"); err != nil || !slices.Contains(addrs, asked) {
		t.Errorf("WeChat's: %v, %v", addrs, err)
	}
	if addrs, err := c.lookup(t.Context(), "localhost"); err != nil || slices.Contains(addrs, asked) {
		t.Errorf("another: %v, %v", addrs, err)
	}
}

func TestTunnelRules(t *testing.T) {
	good := func(pattern string, want tunnelRule) {
		t.Helper()
		if got, err := parseTunnelRule(pattern); err != nil || got != want {
			t.Errorf("%s: %+v, %v", pattern, got, err)
		}
	}
	good("*", tunnelRule{any: true, port: 443})
	good("*:8443", tunnelRule{any: true, port: 8443})
	good("*.Weixin.QQ.com", tunnelRule{suffix: ".weixin.qq.com", port: 443})
	good("a.example:80", tunnelRule{host: "a.example", port: 80})
	for _, bad := range []string{
		"", "*.", "*.*", "a*", "*a.example", "a.example:", "a.example:0", "a.example:65536", "a.example:x", "[::1", "[::1]443",
		"https://a.example", "a.example/x", "127.1", "10.0.0.0/33", "a b", "u@a.example", "*.7",
	} {
		if err := CheckTunnelPattern(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for _, pattern := range []string{"10.0.0.0/8", "10.0.0.0/8:8443", "10.0.0.1:25", "::1", "[::1]:443", "fd00::/8", "[fd00::/8]:444", "::ffff:10.0.0.1"} {
		if err := CheckTunnelPattern(pattern); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// FuzzConnect looks for targets that are read as a host that the rules would not
// let through if they were spelled plainly.
func FuzzConnect(f *testing.F) {
	for _, seed := range []string{"mp.weixin.qq.com:443", "[::1]:443", "127.1:443", "a@b:1", "[fe80::1%eth0]:443", "a:443:443", ":", "x.:443"} {
		f.Add(seed)
	}
	rules, err := parseTunnelRules([]string{"*.weixin.qq.com"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target string) {
		host, port, ok := splitAuthority([]byte(target))
		if !ok {
			return
		}
		if host == "" || port == 0 || strings.ContainsAny(host, "@/ %[]") {
			t.Errorf("%q: host %q, port %d", target, host, port)
		}
		if rules.allowsName(host, port, true) && !strings.HasPrefix(strings.ToLower(target), host+":") && !strings.HasPrefix(strings.ToLower(target), host+".:") {
			t.Errorf("%q was let through as %q", target, host)
		}
	})
}

func FuzzTunnelRule(f *testing.F) {
	for _, seed := range []string{"*", "*.a.example:8443", "[::1]:1", "10.0.0.0/8"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if r, err := parseTunnelRule(pattern); err == nil && r.port == 0 {
			t.Errorf("%q allows no port", pattern)
		}
	})
}
