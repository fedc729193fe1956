package dial

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestPublic(t *testing.T) {
	f := func(addr string, want bool) {
		t.Helper()
		if got := Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Public(%s) = %v", addr, got)
		}
	}
	f("43.1.2.3", true)
	f("240e::1", true)
	f("64:ff9b::2b01:203", true)
	for _, a := range []string{
		"127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "fe80::1", "fd00::1",
		"0.0.0.0", "::", "224.0.0.1", "64:ff9b::a9fe:a9fe", "::ffff:127.0.0.1",
	} {
		f(a, false)
	}
}

func TestHost(t *testing.T) {
	now := time.Unix(1000, 0)
	var lookups, dialled []string
	answers := map[string]error{}
	d := &Host{Name: "api.weixin.qq.com", Port: "443", Now: func() time.Time { return now }}
	addrs := []netip.Addr{netip.MustParseAddr("240e::1"), netip.MustParseAddr("43.0.0.1"), netip.MustParseAddr("10.0.0.1")}
	var lookupErr error
	d.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		lookups = append(lookups, host)
		return addrs, lookupErr
	}
	d.Connect = func(_ context.Context, _, addr string) (net.Conn, error) {
		dialled = append(dialled, addr)
		if err := answers[addr]; err != nil {
			return nil, err
		}
		return fakeConnected{}, nil
	}
	dial := func() error {
		dialled = nil
		_, err := d.Dial(t.Context())
		return err
	}
	check := func(what string, err error, wantErr bool, wantLookups int, want ...string) {
		t.Helper()
		if (err != nil) != wantErr || len(lookups) != wantLookups || strings.Join(dialled, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, %d lookups, dialled %v; want %d, %v", what, err, len(lookups), dialled, wantLookups, want)
		}
	}
	check("IPv4 first", dial(), false, 1, "43.0.0.1:443")
	answers["43.0.0.1:443"] = io.ErrClosedPipe
	check("then IPv6", dial(), false, 1, "43.0.0.1:443", "[240e::1]:443")
	answers["[240e::1]:443"] = io.ErrClosedPipe
	check("never a private one", dial(), true, 1, "43.0.0.1:443", "[240e::1]:443")
	clear(answers)
	now = now.Add(addrFresh)
	check("looked up again each minute", dial(), false, 2, "43.0.0.1:443")
	now, lookupErr = now.Add(addrMaxAge-time.Second), io.ErrUnexpectedEOF
	check("the last good answer serves", dial(), false, 3, "43.0.0.1:443")
	now = now.Add(time.Second)
	check("but not for ever", dial(), true, 4)
	lookupErr, addrs = nil, []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	check("nothing public", dial(), true, 5)
	d.MayBePrivate = true
	check("configured", dial(), false, 5, "127.0.0.1:443")
}

// An answer of DNS that is late, an error, or of no use does not replace one that
// was good, for ten minutes; and it is not asked for again at once.
func TestHost_KeepsTheLastGoodAnswer(t *testing.T) {
	good := []netip.Addr{netip.MustParseAddr("43.0.0.1")}
	bad := func(addr string) func(context.Context) ([]netip.Addr, error) {
		return func(context.Context) ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr(addr)}, nil }
	}
	for name, lookup := range map[string]func(context.Context) ([]netip.Addr, error){
		"error": func(context.Context) ([]netip.Addr, error) { return nil, io.ErrUnexpectedEOF },
		"empty": func(context.Context) ([]netip.Addr, error) { return nil, nil },
		"late": func(ctx context.Context) ([]netip.Addr, error) {
			if until, ok := ctx.Deadline(); !ok || time.Until(until) > lookupTimeout {
				return nil, fmt.Errorf("it may take until %v", until)
			}
			return nil, context.DeadlineExceeded
		},
		"this machine": bad("127.0.0.1"), "metadata": bad("169.254.169.254"), "private": bad("10.0.0.1"), "NAT64": bad("64:ff9b::a00:1"),
	} {
		now, lookups, dialled := time.Unix(1000, 0), 0, ""
		d := &Host{Name: "api.weixin.qq.com", Port: "443", Now: func() time.Time { return now }}
		d.Connect = func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = addr
			return fakeConnected{}, nil
		}
		d.Lookup = func(ctx context.Context, _ string) ([]netip.Addr, error) {
			if lookups++; lookups == 1 {
				return good, nil
			}
			return lookup(ctx)
		}
		dial := func(at time.Duration, wantLookups int, wantErr bool) {
			t.Helper()
			now, dialled = time.Unix(1000, 0).Add(at), ""
			_, err := d.Dial(t.Context())
			if (err != nil) != wantErr || lookups != wantLookups || (dialled == "43.0.0.1:443") == wantErr {
				t.Errorf("%s, after %v: %v, %d lookups, dialled %q; want %d lookups", name, at, err, lookups, dialled, wantLookups)
			}
		}
		dial(0, 1, false)
		dial(addrFresh-1, 1, false)
		dial(addrFresh, 2, false)
		dial(addrFresh+lookupPause-1, 2, false)
		dial(addrFresh+lookupPause, 3, false)
		dial(addrMaxAge-1, 4, false)
		dial(addrMaxAge, 5, true)
	}
}

type fakeConnected struct {
	net.Conn
}
