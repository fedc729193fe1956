package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// Off is what switches a listener Off.
const Off = "off"

// Address is where a listener listens. The zero Address is off.
type Address struct {
	// Network is tcp or unix.
	Network string
	// Text is host:port, or the socket's path.
	Text string
}

// IsOff reports whether nothing is to listen.
func (a Address) IsOff() bool { return a.Network == "" }

// String writes the address as the configuration does.
func (a Address) String() string {
	switch a.Network {
	case "":
		return Off
	case "unix":
		return "unix://" + a.Text
	default:
		return a.Text
	}
}

// ParseAddress reads host:port, unix:///path or off.
func ParseAddress(text string) (Address, error) {
	if text == Off {
		return Address{}, nil
	}
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		return unixAddress(path)
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Address{}, errors.New("not an address")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return Address{}, fmt.Errorf("the port %q is not a number up to 65535", port)
	} else if port = strconv.FormatUint(n, 10); host == "" {
		return Address{"tcp", ":" + port}, nil
	}
	if _, err := netip.ParseAddr(host); err != nil && !validHostname(host) {
		return Address{}, fmt.Errorf("%q is neither an IP address nor a host name", host)
	}
	return Address{"tcp", net.JoinHostPort(host, port)}, nil
}

func unixAddress(path string) (Address, error) {
	// The kernel's sockaddr_un holds 108 bytes with the final zero.
	const longest = 107
	switch {
	case !filepath.IsAbs(path):
		return Address{}, errors.New("the path of the socket is not absolute")
	case len(path) > longest:
		return Address{}, fmt.Errorf("the path of the socket is longer than %d bytes", longest)
	}
	return Address{"unix", filepath.Clean(path)}, nil
}

// local reports whether only this machine, or this pod, can reach the address.
func (a Address) local() bool {
	if a.Network != "tcp" {
		return true
	}
	host, _, _ := net.SplitHostPort(a.Text)
	return loopbackHost(host)
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// collides reports whether the two cannot both be listened on.
func (a Address) collides(b Address) bool {
	if a.IsOff() || a.Network != b.Network {
		return false
	}
	if a.Network == "unix" {
		return a.Text == b.Text
	}
	hostA, portA, _ := net.SplitHostPort(a.Text)
	hostB, portB, _ := net.SplitHostPort(b.Text)
	if portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || anyHost(hostA) || anyHost(hostB)
}

func anyHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.Unmap().IsUnspecified()
}

// Reachable returns the address to ask a listener at from the same machine: one
// that listens everywhere is asked on loopback.
func (a Address) Reachable() Address {
	if a.Network != "tcp" {
		return a
	}
	host, port, _ := net.SplitHostPort(a.Text)
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip.Unmap().IsUnspecified() && (ip.Is4() || ip.Is4In6()):
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return Address{"tcp", net.JoinHostPort(host, port)}
}

// ListenKey is one key that holds an address.
type ListenKey struct{ Key, Value string }

// ListenKeys returns every key that holds an address, off or not.
func (c *Config) ListenKeys() []ListenKey {
	return []ListenKey{
		{"listen.apps", c.Listen.Apps},
		{"listen.push", c.Listen.Push},
		{"listen.metrics", c.Listen.Metrics},
		{"listen.admin", c.Listen.Admin},
		{"alias.http", c.Alias.HTTP},
		{"alias.https", c.Alias.HTTPS},
	}
}

// validateListen checks the addresses, each by itself, against the others, and
// for being open to more than this machine without a key.
func (l *Loaded) validateListen() {
	const howTo = "write host:port, unix:///path, or off"
	keys := l.Config.ListenKeys()
	addresses := make([]Address, len(keys))
	for i, k := range keys {
		a, err := ParseAddress(k.Value)
		if err != nil {
			l.fault(k.Key, k.Value, err.Error(), howTo)
			continue
		}
		addresses[i] = a
		l.validateExposure(k, a)
		for j := range i {
			if a.collides(addresses[j]) {
				l.fault(k.Key, k.Value, fmt.Sprintf("collides with %s %s", keys[j].Key, keys[j].Value), "give each listener a port of its own")
			}
		}
	}
	if l.Config.Listen == (Listen{Off, Off, Off, Off}) {
		l.fault("listen", "", "every listener is off", "there would be nothing to serve")
	}
}

func (l *Loaded) validateExposure(k ListenKey, a Address) {
	if a.local() {
		return
	}
	switch {
	case k.Key == "listen.admin" && l.Config.Admin.KeySHA256 == "":
		l.fault(k.Key, k.Value, "open to other machines without admin.key_sha256",
			"listen on 127.0.0.1, or give the SHA-256 of a key")
	case (k.Key == "listen.apps" || strings.HasPrefix(k.Key, "alias.")) && len(l.Config.Callers) == 0:
		l.fault(k.Key, k.Value, "open to other machines without callers: whoever reaches it could act for every account",
			"listen on 127.0.0.1 or unix:///path, or list callers")
	}
}

// ParseSocketMode reads the octal mode of a socket.
func ParseSocketMode(text string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, errors.New("not an octal file mode")
	}
	return fs.FileMode(mode), nil
}

// Summary says in one line what a configuration configures.
func (c *Config) Summary() string {
	var listeners []string
	for _, k := range c.ListenKeys() {
		if k.Value != Off {
			listeners = append(listeners, k.Key[strings.Index(k.Key, ".")+1:]+" "+k.Value)
		}
	}
	return fmt.Sprintf("%s, %s, listeners %s",
		plural(len(c.Components), "component"), plural(len(c.Accounts), "account"), strings.Join(listeners, ", "))
}
