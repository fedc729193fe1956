package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// reach connects to a host that the rules have: by name through the proxy, or straight
// where there is none. An address that is listed as such is reached straight in any
// case: it is in a network of ours.
func (s *Server) reach(host string, port uint16) (conn net.Conn, f *fault) {
	c := s.connect
	a, err := netip.ParseAddr(host)
	if c.proxy == nil || err == nil && c.rules.listed(a, port) {
		var addrs []netip.AddrPort
		if addrs, f = c.addresses(s.base, host, port); f != nil {
			return nil, f
		}
		conn, err = c.reach(s.base, addrs)
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

// permits reports whether the rules have a tunnel to host, as far as can be told
// without asking what a name means.
func (c *connector) permits(host string, port uint16) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return c.rules.literal(a, port) && !c.own.Has(netip.AddrPortFrom(a, port))
	}
	// Where the proxy looks names up nobody checks where they lead; then '*', any public
	// host, has only names that can be public.
	return !numeric(host) && c.rules.name(host, port, c.proxy == nil || publicName(host))
}

// addresses returns where a tunnel to host, which the rules have, may go. What the
// name means is asked once: the address that was checked is the one that is
// connected to.
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
		if (dial.OpenInternet(a) || c.rules.listed(a, port)) && !c.own.Has(at) {
			good = append(good, at)
		}
	}
	if len(good) == 0 {
		return nil, forbidden("connect_refused", host+" has no public address; a private one must be allowed as well, "+
			"as an address or a range in connect.allow")
	}
	slices.SortStableFunc(good, func(a, b netip.AddrPort) int { return dial.Family(a.Addr()) - dial.Family(b.Addr()) })
	return good, nil
}

// reach connects to the first address that answers; each gets its share of the
// time that is left.
func (c *connector) reach(ctx context.Context, addrs []netip.AddrPort) (conn net.Conn, err error) {
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
