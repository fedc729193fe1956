package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/dial/dnstest"
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

func TestNew(t *testing.T) {
	own := &OwnAddresses{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	loopback := netip.MustParseAddr("127.0.0.1")
	server := dnstest.New(t, func(_ string, question []byte) []byte { return dnstest.Answer(question, 0, loopback.String()) })
	dial := New(Options{Resolver: server, Own: own})
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
