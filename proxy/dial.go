package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	dialTimeout = 5 * time.Second
	// addrFresh is how long an answer of DNS is used, addrStale how long it is
	// when DNS gives no newer one.
	addrFresh = time.Minute
	addrStale = 10 * time.Minute
	// lookupPatience is how long DNS may take while an earlier answer could serve,
	// and lookupPause how long nobody asks again when it did not help.
	lookupPatience = time.Second
	lookupPause    = 5 * time.Second
)

// dialer connects to one host by name.
type dialer struct {
	host, port string
	// mayBePrivate is set for an upstream that somebody configured.
	mayBePrivate bool
	// own are addresses that are not connected to; nil for none.
	own     *OwnAddresses
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	connect func(ctx context.Context, network, addr string) (net.Conn, error)
	now     func() time.Time

	mu       sync.Mutex // held during a lookup
	state    sync.Mutex // guards what follows
	addrs    []netip.Addr
	resolved time.Time
	again    time.Time // DNS is not asked before this
}

// dial tries the host's addresses, those of IPv4 first: where there is no IPv4 it
// fails at once, while broken IPv6 takes its time.
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	if a, err := netip.ParseAddr(d.host); err == nil {
		if err := d.refuseLoop(a); err != nil {
			return nil, err
		}
		return d.connect(ctx, "tcp", net.JoinHostPort(d.host, d.port))
	}
	addrs, err := d.addresses(ctx)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("connect to %s: it has no public address\nhint: %s", d.host, loopHint)
	for i, a := range addrs {
		if loop := d.refuseLoop(a); loop != nil {
			return nil, loop
		}
		if !d.mayBePrivate && !public(a) {
			continue
		}
		var nc net.Conn
		if nc, err = d.try(ctx, a, len(addrs)-i); err == nil {
			return nc, nil
		}
	}
	return nil, err
}

// try gives one address its share of the time that is left.
func (d *dialer) try(ctx context.Context, a netip.Addr, left int) (net.Conn, error) {
	deadline, ok := ctx.Deadline()
	if ok && left > 1 {
		now := d.now()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline.Sub(now)/2)
		defer cancel()
	}
	return d.connect(ctx, "tcp", net.JoinHostPort(a.String(), d.port))
}

// addresses returns the host's addresses. One lookup runs at a time; while it
// does, and when it fails or leads nowhere, the last good answer serves.
func (d *dialer) addresses(ctx context.Context) ([]netip.Addr, error) {
	addrs, age := d.known()
	if age < addrFresh {
		return addrs, nil
	}
	if !d.mu.TryLock() {
		if age < addrStale {
			return addrs, nil
		}
		d.mu.Lock()
		if addrs, age = d.known(); age < addrFresh {
			d.mu.Unlock()
			return addrs, nil
		}
	}
	defer d.mu.Unlock()
	if age < addrStale {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lookupPatience)
		defer cancel()
	}
	found, err := d.lookup(ctx, d.host)
	if err == nil && len(found) == 0 {
		err = errors.New("no address")
	}
	if age < addrStale && (err != nil || !slices.ContainsFunc(found, d.mayCall)) {
		d.pause()
		return addrs, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", d.host, err)
	}
	return d.remember(found), nil
}

// mayCall reports whether a may be called at all.
func (d *dialer) mayCall(a netip.Addr) bool {
	return (d.mayBePrivate || public(a)) && d.refuseLoop(a) == nil
}

// pause keeps DNS from being asked for a while.
func (d *dialer) pause() {
	d.state.Lock()
	defer d.state.Unlock()
	d.again = d.now().Add(lookupPause)
}

// known returns the last good answer, and its age: none at all while DNS is not to
// be asked, and addrStale where there is no answer.
func (d *dialer) known() ([]netip.Addr, time.Duration) {
	d.state.Lock()
	defer d.state.Unlock()
	if d.addrs == nil {
		return nil, addrStale
	}
	now := d.now()
	age := now.Sub(d.resolved)
	if age < addrStale && now.Before(d.again) {
		age = 0
	}
	return d.addrs, age
}

func (d *dialer) remember(addrs []netip.Addr) []netip.Addr {
	addrs = slices.Clone(addrs)
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return family(a) - family(b) })
	d.state.Lock()
	defer d.state.Unlock()
	d.addrs, d.resolved = addrs, d.now()
	return addrs
}

func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 4
	}
	return 6
}

// DialOptions say how [NewDial] connects. The zero value asks the system.
type DialOptions struct {
	// Resolver is the host:port of a DNS server that is asked instead of the system
	// and its hosts file, as UpstreamOptions.Resolver is; empty for those.
	Resolver string
	// Own are the addresses that are never called; nil for none.
	Own *OwnAddresses
	// Now is the clock for deadlines; nil for time.Now.
	Now func() time.Time
}

// NewDial returns a dial function for clients beside the data path that call the
// same hosts with the same care: what leads back to this process is an error that
// wraps [ErrLoop], and WeChat is not looked for at a private address. It dials TCP,
// whatever network it is asked for, and gives up after five seconds. It is safe for
// concurrent use.
func NewDial(o DialOptions) func(ctx context.Context, network, address string) (net.Conn, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", address, err)
		}
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		d := &dialer{host: host, port: port, mayBePrivate: !isWeChat(host) || port != "443"}
		d.use(UpstreamOptions{Resolver: o.Resolver, Own: o.Own}, o.Now)
		return d.dial(ctx)
	}
}

// use sets how d finds and reaches its host.
func (d *dialer) use(o UpstreamOptions, now func() time.Time) {
	d.now, d.own = now, o.Own
	d.connect = (&net.Dialer{}).DialContext
	d.lookup = lookupSystem
	if o.Resolver != "" {
		d.lookup = (&dnsClient{server: o.Resolver}).lookup
	}
}
