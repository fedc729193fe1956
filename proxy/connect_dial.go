package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strconv"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// dialTunnel connects to a host that the rules allow: by name through upstream.proxy, or
// directly if there is none. An address that is listed in connect.allow is always dialled
// directly, since it is in a network of ours.
func (s *Server) dialTunnel(host string, port uint16) (conn net.Conn, f *fault) {
	c := s.connect
	a, err := netip.ParseAddr(host)
	if c.proxy == nil || err == nil && c.rules.allowsAddr(a, port) {
		var addrs []netip.AddrPort
		if addrs, f = c.addresses(s.base, host, port); f != nil {
			return nil, f
		}
		conn, err = c.dialFirst(s.base, addrs)
	} else {
		ctx, cancel := context.WithTimeout(s.base, dial.Timeout)
		defer cancel()
		conn, err = c.proxy.Dial(ctx, host, strconv.Itoa(int(port)))
	}
	if err != nil {
		return nil, connectFailed(host, err)
	}
	return conn, nil
}

// mayTunnel reports whether the rules allow a tunnel to host, as far as can be told without
// resolving its name.
func (c *connector) mayTunnel(host string, port uint16) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return c.rules.allowsLiteral(a, port) && !c.own.Has(netip.AddrPortFrom(a, port))
	}
	// If the proxy resolves names, the addresses cannot be checked. '*', any public host,
	// then allows only names that can be public.
	return !numeric(host) && c.rules.allowsName(host, port, c.proxy == nil || publicName(host))
}

// addresses returns the addresses to which a tunnel to host may connect. The name is
// resolved once, so that the address that was checked is the one that is dialled.
func (c *connector) addresses(ctx context.Context, host string, port uint16) ([]netip.AddrPort, *fault) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), port)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dial.Timeout)
	defer cancel()
	found, err := c.lookup(ctx, host)
	if err != nil {
		return nil, connectFailed(host, err)
	}
	var good []netip.AddrPort
	for _, a := range found {
		at := netip.AddrPortFrom(a.Unmap(), port)
		if (dial.OpenInternet(a) || c.rules.allowsAddr(a, port)) && !c.own.Has(at) {
			good = append(good, at)
		}
	}
	if len(good) == 0 {
		return nil, forbidden("connect_refused", host+" has no public address; a private one must be allowed as well, "+
			"as an address or a range in connect.allow")
	}
	sort.SliceStable(good, func(i, j int) bool { return dial.Family(good[i].Addr()) < dial.Family(good[j].Addr()) })
	return good, nil
}

// dialFirst connects to the first address that answers. The addresses share the time
// equally.
func (c *connector) dialFirst(ctx context.Context, addrs []netip.AddrPort) (conn net.Conn, err error) {
	share := dial.Timeout / time.Duration(len(addrs))
	for _, a := range addrs {
		one, cancel := context.WithTimeout(ctx, share)
		conn, err = c.dial(one, "tcp", a.String())
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, fmt.Errorf("connect: %w", err)
}
