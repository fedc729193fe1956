package dial

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
	// Timeout bounds the way to a host: looking it up, connecting, and shaking hands.
	Timeout = 5 * time.Second
	// addrFresh is how long an answer of DNS is used, addrStale how long it is
	// when DNS gives no newer one.
	addrFresh = time.Minute
	addrStale = 10 * time.Minute
	// lookupPatience is how long DNS may take while an earlier answer could serve,
	// and lookupPause how long nobody asks again when it did not help.
	lookupPatience = time.Second
	lookupPause    = 5 * time.Second
)

// Host connects to one host and remembers its addresses. Its fields are set before
// the first use; methods are safe for concurrent use.
type Host struct {
	// Name is a name or an address, Port a number.
	Name, Port string
	// MayBePrivate is set for a host that somebody configured.
	MayBePrivate bool
	// Own are addresses that are not connected to; nil for none.
	Own *OwnAddresses
	// Proxy is the way to the host; nil for the straight one. Which addresses the host
	// has is then for the proxy to know.
	Proxy *Proxy
	// Lookup returns the addresses of a name, Connect makes a connection, and Now is
	// the clock; see [Host.Use].
	Lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	Connect func(ctx context.Context, network, addr string) (net.Conn, error)
	Now     func() time.Time

	mu       sync.Mutex // held during a lookup
	state    sync.Mutex // guards what follows
	addrs    []netip.Addr
	resolved time.Time
	again    time.Time // DNS is not asked before this
}

// Dial tries the host's addresses, those of IPv4 first: where there is no IPv4 it
// fails at once, while broken IPv6 takes its time.
func (h *Host) Dial(ctx context.Context) (net.Conn, error) {
	if h.Proxy != nil {
		return h.Proxy.Dial(ctx, h.Name, h.Port)
	}
	if a, err := netip.ParseAddr(h.Name); err == nil {
		if err := h.refuseLoop(a); err != nil {
			return nil, err
		}
		return h.Connect(ctx, "tcp", net.JoinHostPort(h.Name, h.Port))
	}
	addrs, err := h.addresses(ctx)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("connect to %s: it has no public address\nhint: %s", h.Name, loopHint)
	for i, a := range addrs {
		if loop := h.refuseLoop(a); loop != nil {
			return nil, loop
		}
		if !h.MayBePrivate && !Public(a) {
			continue
		}
		var nc net.Conn
		if nc, err = h.try(ctx, a, len(addrs)-i); err == nil {
			return nc, nil
		}
	}
	return nil, err
}

// try gives one address its share of the time that is left.
func (h *Host) try(ctx context.Context, a netip.Addr, left int) (net.Conn, error) {
	deadline, ok := ctx.Deadline()
	if ok && left > 1 {
		now := h.Now()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline.Sub(now)/2)
		defer cancel()
	}
	return h.Connect(ctx, "tcp", net.JoinHostPort(a.String(), h.Port))
}

// addresses returns the host's addresses. One lookup runs at a time; while it
// does, and when it fails or leads nowhere, the last good answer serves.
func (h *Host) addresses(ctx context.Context) ([]netip.Addr, error) {
	addrs, age := h.known()
	if age < addrFresh {
		return addrs, nil
	}
	if !h.mu.TryLock() {
		if age < addrStale {
			return addrs, nil
		}
		h.mu.Lock()
		if addrs, age = h.known(); age < addrFresh {
			h.mu.Unlock()
			return addrs, nil
		}
	}
	defer h.mu.Unlock()
	if age < addrStale {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lookupPatience)
		defer cancel()
	}
	found, err := h.Lookup(ctx, h.Name)
	if err == nil && len(found) == 0 {
		err = errors.New("no address")
	}
	if age < addrStale && (err != nil || !slices.ContainsFunc(found, h.mayCall)) {
		h.pause()
		return addrs, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", h.Name, err)
	}
	return h.remember(found), nil
}

// mayCall reports whether a may be called at all.
func (h *Host) mayCall(a netip.Addr) bool {
	return (h.MayBePrivate || Public(a)) && h.refuseLoop(a) == nil
}

// pause keeps DNS from being asked for a while.
func (h *Host) pause() {
	h.state.Lock()
	defer h.state.Unlock()
	h.again = h.Now().Add(lookupPause)
}

// known returns the last good answer, and its age: none at all while DNS is not to
// be asked, and addrStale where there is no answer.
func (h *Host) known() ([]netip.Addr, time.Duration) {
	h.state.Lock()
	defer h.state.Unlock()
	if h.addrs == nil {
		return nil, addrStale
	}
	now := h.Now()
	age := now.Sub(h.resolved)
	if age < addrStale && now.Before(h.again) {
		age = 0
	}
	return h.addrs, age
}

func (h *Host) remember(addrs []netip.Addr) []netip.Addr {
	addrs = slices.Clone(addrs)
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return Family(a) - Family(b) })
	h.state.Lock()
	defer h.state.Unlock()
	h.addrs, h.resolved = addrs, h.Now()
	return addrs
}

// Family returns 4 or 6.
func Family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 4
	}
	return 6
}

// Options say how [New] connects. The zero value asks the system.
type Options struct {
	// Resolver is the host:port of a DNS server that is asked instead of the system
	// and its hosts file; empty for those.
	Resolver string
	// Own are the addresses that are never called; nil for none.
	Own *OwnAddresses
	// Proxy is the way out; nil for none. Resolver and Own then do not matter.
	Proxy *Proxy
	// Now is the clock for deadlines; nil for time.Now.
	Now func() time.Time
}

// New returns a dial function for clients beside the data path that call the
// same hosts with the same care: what leads back to this process is an error that
// wraps [ErrLoop], and WeChat is not looked for at a private address. It dials TCP,
// whatever network it is asked for, and gives up after five seconds. It is safe for
// concurrent use.
func New(o Options) func(ctx context.Context, network, address string) (net.Conn, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", address, err)
		}
		ctx, cancel := context.WithTimeout(ctx, Timeout)
		defer cancel()
		h := &Host{Name: host, Port: port, MayBePrivate: !IsWeChat(host) || port != "443"}
		h.Use(o)
		return h.Dial(ctx)
	}
}

// Use sets how h finds and reaches its host. o.Now must be set.
func (h *Host) Use(o Options) {
	h.Now, h.Own, h.Proxy = o.Now, o.Own, o.Proxy
	h.Connect = (&net.Dialer{}).DialContext
	h.Lookup = LookupSystem
	if o.Resolver != "" {
		h.Lookup = LookupAt(o.Resolver)
	}
}
