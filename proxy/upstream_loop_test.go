package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

func tcpAddr(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

// A hosts file that points WeChat's names at the sidecar.
func TestLoop(t *testing.T) {
	own := &dial.OwnAddresses{}
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{Own: own}})
	for _, h := range s.upstream.hosts {
		h.dialer.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		h.dialer.Connect = func(context.Context, string, string) (net.Conn, error) {
			t.Error("it called itself")
			return nil, errors.New("no")
		}
	}
	if err := s.CheckLoop(t.Context()); err != nil {
		t.Errorf("nothing listens on 443: %v", err)
	}
	own.Add(tcpAddr("0.0.0.0:443"))
	err := s.CheckLoop(t.Context())
	if !errors.Is(err, dial.ErrLoop) || !strings.Contains(err.Error(), "upstream.resolver") || !strings.Contains(err.Error(), "api.weixin.qq.com") {
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
		h.dialer.Lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no network yet") }
	}
	if err := s.CheckLoop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLoop_LiteralUpstream(t *testing.T) {
	own := &dial.OwnAddresses{}
	s := start(t, Options{Source: platform(), Upstream: UpstreamOptions{URL: "http://127.0.0.1:7080", Own: own}})
	own.Add(tcpAddr("127.0.0.1:7080"))
	if err := s.CheckLoop(t.Context()); !errors.Is(err, dial.ErrLoop) {
		t.Error(err)
	}
	if got := s.call(t, "GET", "/x", "", forMerchant()); got.status != 502 {
		t.Errorf("%+v", got)
	}
}
