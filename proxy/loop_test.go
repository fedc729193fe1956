package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func tcpAddr(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestOwnAddresses(t *testing.T) {
	o := &OwnAddresses{machine: func() ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.IPv4(172, 16, 0, 5), Mask: net.CIDRMask(16, 32)}}, nil
	}}
	o.Add(tcpAddr("127.0.0.1:7080"))
	o.Add(tcpAddr("[::]:443"))
	o.Add(&net.UnixAddr{Name: "/run/x", Net: "unix"})
	f := func(at string, want bool) {
		t.Helper()
		if o.Has(netip.MustParseAddrPort(at)) != want {
			t.Errorf("%s: not %v", at, want)
		}
	}
	f("127.0.0.1:7080", true)
	f("[::ffff:127.0.0.1]:7080", true)
	f("0.0.0.0:7080", true)
	f("127.0.0.1:7081", false)
	f("127.0.0.2:7080", false)
	f("127.0.0.2:443", true)
	f("[::1]:443", true)
	f("0.0.0.0:443", true)
	f("172.16.0.5:443", true)
	f("172.16.0.6:443", false)
	f("93.184.216.34:443", false)
	if (*OwnAddresses)(nil).Has(netip.MustParseAddrPort("127.0.0.1:1")) {
		t.Error("nil has an address")
	}
}

// A hosts file that points WeChat's names at the sidecar.
func TestLoop(t *testing.T) {
	own := &OwnAddresses{}
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{Own: own}})
	for _, h := range s.upstream.hosts {
		h.dialer.lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		h.dialer.connect = func(context.Context, string, string) (net.Conn, error) {
			t.Error("it called itself")
			return nil, errors.New("no")
		}
	}
	if err := s.CheckLoop(t.Context()); err != nil {
		t.Errorf("nothing listens on 443: %v", err)
	}
	own.Add(tcpAddr("0.0.0.0:443"))
	err := s.CheckLoop(t.Context())
	if !errors.Is(err, ErrLoop) || !strings.Contains(err.Error(), "upstream.resolver") || !strings.Contains(err.Error(), "api.weixin.qq.com") {
		t.Errorf("at start: %v", err)
	}
	// At run time, with an entry that came later.
	if got := s.call(t, "GET", "/x", "", forMerchant()); got.status != 502 || got.fault() != "upstream_unreachable" {
		t.Errorf("at run time: %+v", got)
	}
	if !strings.Contains(s.logged.String(), "upstream.resolver") {
		t.Error("the log does not say what to do")
	}
}

func TestLoop_NotYetResolvable(t *testing.T) {
	s := start(t, Options{Source: platform()})
	for _, h := range s.upstream.hosts {
		h.dialer.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no network yet") }
	}
	if err := s.CheckLoop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLoop_LiteralUpstream(t *testing.T) {
	own := &OwnAddresses{}
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: "http://127.0.0.1:7080", Own: own}})
	own.Add(tcpAddr("127.0.0.1:7080"))
	if err := s.CheckLoop(t.Context()); !errors.Is(err, ErrLoop) {
		t.Error(err)
	}
	if got := s.call(t, "GET", "/x", "", forMerchant()); got.status != 502 {
		t.Errorf("%+v", got)
	}
}

func TestNewDial(t *testing.T) {
	own := &OwnAddresses{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	loopback := netip.MustParseAddr("127.0.0.1")
	server := newDNS(t, func(_ string, question []byte) []byte { return dnsAnswer(question, 0, loopback.String()) })
	dial := NewDial(DialOptions{Resolver: server, Own: own})
	f := func(address string, want error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn, err := dial(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", address, err)
		}
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	f("upstream.example:"+port, nil)
	f(ln.Addr().String(), nil)
	own.Add(ln.Addr())
	f("upstream.example:"+port, ErrLoop)
	f(ln.Addr().String(), ErrLoop)
	if _, err := dial(t.Context(), "tcp", "api.weixin.qq.com:443"); err == nil || !strings.Contains(err.Error(), "upstream.resolver") {
		t.Errorf("WeChat at a loopback address: %v", err)
	}
}
