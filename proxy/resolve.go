package proxy

import (
	"context"
	"fmt"
	"net"
	"time"
)

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
// wraps [ErrLoop], and WeChat is not looked for at a private address. It is safe
// for concurrent use.
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
