package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"time"
)

const (
	// Timeout bounds the lookup of a host, the connection and the TLS handshake together.
	Timeout = 5 * time.Second
	// addrFresh is how long addresses are used without asking DNS again, addrMaxAge how
	// long they are used if DNS has no newer ones.
	addrFresh  = time.Minute
	addrMaxAge = 10 * time.Minute
	// lookupTimeout is how long a lookup may take while cached addresses can be used.
	// lookupPause is how long DNS is not asked again after a lookup that failed.
	lookupTimeout = time.Second
	lookupPause   = 5 * time.Second
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
	// Proxy is the proxy to the host; nil for none. The proxy then resolves the host's
	// name.
	Proxy *Proxy
	// Lookup returns the addresses of a name, Connect makes a connection, and Now is
	// the clock; see [Host.Use].
	Lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	Connect func(ctx context.Context, network, addr string) (net.Conn, error)
	Now     func() time.Time

	lookupMu   sync.Mutex // held during a lookup
	mu         sync.Mutex // guards what follows
	addrs      []netip.Addr
	resolved   time.Time
	nextLookup time.Time // DNS is not asked before this
}

// Dial tries the host's addresses, those of IPv4 first: IPv4 fails at once where there is
// none, while broken IPv6 times out.
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

// try connects to one address. If others follow, it may use half of the remaining time.
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

// addresses returns the host's addresses. One lookup runs at a time. Cached addresses are
// returned while it runs, and if it fails or has no address that may be called.
func (h *Host) addresses(ctx context.Context) ([]netip.Addr, error) {
	addrs, age := h.cached()
	if age < addrFresh {
		return addrs, nil
	}
	if !h.lookupMu.TryLock() {
		if age < addrMaxAge {
			return addrs, nil
		}
		h.lookupMu.Lock()
		if addrs, age = h.cached(); age < addrFresh {
			h.lookupMu.Unlock()
			return addrs, nil
		}
	}
	defer h.lookupMu.Unlock()
	if age < addrMaxAge {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
	}
	found, err := h.Lookup(ctx, h.Name)
	if err == nil && len(found) == 0 {
		err = errors.New("no address")
	}
	if age < addrMaxAge && (err != nil || !slices.ContainsFunc(found, h.mayCall)) {
		h.postponeLookup()
		return addrs, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", h.Name, err)
	}
	return h.store(found), nil
}

// mayCall reports whether a may be called at all.
func (h *Host) mayCall(a netip.Addr) bool {
	return (h.MayBePrivate || Public(a)) && h.refuseLoop(a) == nil
}

// postponeLookup keeps DNS from being asked for lookupPause.
func (h *Host) postponeLookup() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nextLookup = h.Now().Add(lookupPause)
}

// cached returns the cached addresses and their age. The age is 0 while DNS is not to be
// asked, and addrMaxAge if there are none.
func (h *Host) cached() ([]netip.Addr, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.addrs == nil {
		return nil, addrMaxAge
	}
	now := h.Now()
	age := now.Sub(h.resolved)
	if age < addrMaxAge && now.Before(h.nextLookup) {
		age = 0
	}
	return h.addrs, age
}

// store caches addrs, those of IPv4 first.
func (h *Host) store(addrs []netip.Addr) []netip.Addr {
	addrs = slices.Clone(addrs)
	sort.SliceStable(addrs, func(i, j int) bool { return Family(addrs[i]) < Family(addrs[j]) })
	h.mu.Lock()
	defer h.mu.Unlock()
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
	// Proxy is the proxy that makes the connections; nil for none. With one, Resolver and
	// Own are not used.
	Proxy *Proxy
	// Now is the clock for deadlines; nil for time.Now.
	Now func() time.Time
}

// New returns a dial function for clients beside the data path that call the same hosts.
// It refuses an address that leads back to this process with an error that wraps
// [ErrLoop], and a private address for WeChat. It dials TCP,
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
