package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
)

// ErrLoop is met where a name of WeChat's leads to the sidecar itself.
var ErrLoop = errors.New("the address is the sidecar's own")

// loopHint explains a loop through the hosts file.
const loopHint = "a hosts entry that points WeChat's names at the sidecar holds for the sidecar too; " +
	"set upstream.resolver to the host:port of a DNS server, which is then asked instead"

// OwnAddresses are the addresses that this process listens on. A connection to one of them
// would make the sidecar call itself without end. The zero value is empty and ready to use;
// nil is empty, and must not be added to. Methods are safe for concurrent use.
type OwnAddresses struct {
	mu    sync.RWMutex
	exact map[netip.AddrPort]bool
	// everywhere has the ports that are listened on at all of the machine's
	// addresses.
	everywhere map[uint16]bool
	// machine returns the machine's addresses; nil for asking the system.
	machine func() ([]net.Addr, error)
}

// Add adds a listener's address. It ignores what is not TCP, since that cannot be dialled.
func (o *OwnAddresses) Add(a net.Addr) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return
	}
	at := t.AddrPort()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.exact == nil {
		o.exact, o.everywhere = map[netip.AddrPort]bool{}, map[uint16]bool{}
	}
	if at.Addr().IsUnspecified() || !at.Addr().IsValid() {
		o.everywhere[at.Port()] = true
		return
	}
	o.exact[netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())] = true
}

// Has reports whether whoever connects to at reaches this process.
func (o *OwnAddresses) Has(at netip.AddrPort) bool {
	if o == nil {
		return false
	}
	a := at.Addr().Unmap().WithZone("")
	o.mu.RLock()
	exact, everywhere := o.exact[netip.AddrPortFrom(a, at.Port())], o.everywhere[at.Port()]
	// 0.0.0.0 as a destination is this machine, at whatever it listens on.
	if !exact && a.IsUnspecified() {
		for own := range o.exact {
			exact = exact || own.Port() == at.Port()
		}
	}
	o.mu.RUnlock()
	return exact || everywhere && (a.IsLoopback() || a.IsUnspecified() || o.onMachine(a))
}

func (o *OwnAddresses) onMachine(a netip.Addr) bool {
	machine := o.machine
	if machine == nil {
		machine = net.InterfaceAddrs
	}
	all, err := machine()
	if err != nil {
		return false // the address is then dialled
	}
	for _, one := range all {
		if n, ok := one.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == a {
				return true
			}
		}
	}
	return false
}

// CheckLoop looks h up and returns an error that wraps [ErrLoop] if one of its
// addresses is this process. A name that cannot be looked up yet is no error: the
// same is checked at each connection. With a proxy its address is the one to look at.
func (h *Host) CheckLoop(ctx context.Context) error {
	if h.Proxy != nil {
		return h.Proxy.CheckLoop(ctx)
	}
	addrs, err := h.destinations(ctx)
	if err != nil {
		return nil //nolint:nilerr // as the docstring says
	}
	for _, a := range addrs {
		if err := h.refuseLoop(a); err != nil {
			return err
		}
	}
	return nil
}

// destinations returns the addresses that a connection would try.
func (h *Host) destinations(ctx context.Context) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(h.Name); err == nil {
		return []netip.Addr{a}, nil
	}
	return h.addresses(ctx)
}

// refuseLoop returns an error if a connection to a would reach this process.
func (h *Host) refuseLoop(a netip.Addr) error {
	port, err := strconv.ParseUint(h.Port, 10, 16)
	if err != nil || !h.Own.Has(netip.AddrPortFrom(a, uint16(port))) {
		return nil //nolint:nilerr // a port without a number is none of ours
	}
	return loopError(h.Name, a)
}

func loopError(host string, a netip.Addr) error {
	return fmt.Errorf("upstream host %s is at %s: %w\nhint: %s", host, a.Unmap(), ErrLoop, loopHint)
}
