package main

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

// off is what switches a listener off.
const off = "off"

// address is where a listener listens. The zero address is off.
type address struct {
	// network is tcp or unix.
	network string
	// text is host:port, or the socket's path.
	text string
}

func (a address) off() bool { return a.network == "" }

// String writes the address as the configuration does.
func (a address) String() string {
	switch a.network {
	case "":
		return off
	case "unix":
		return "unix://" + a.text
	default:
		return a.text
	}
}

// parseAddress reads host:port, unix:///path or off.
func parseAddress(text string) (address, error) {
	if text == off {
		return address{}, nil
	}
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		return unixAddress(path)
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return address{}, errors.New("not an address")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return address{}, fmt.Errorf("the port %q is not a number up to 65535", port)
	} else if port = strconv.FormatUint(n, 10); host == "" {
		return address{"tcp", ":" + port}, nil
	}
	if _, err := netip.ParseAddr(host); err != nil && !validHostname(host) {
		return address{}, fmt.Errorf("%q is neither an IP address nor a host name", host)
	}
	return address{"tcp", net.JoinHostPort(host, port)}, nil
}

func unixAddress(path string) (address, error) {
	// The kernel's sockaddr_un holds 108 bytes with the final zero.
	const longest = 107
	switch {
	case !filepath.IsAbs(path):
		return address{}, errors.New("the path of the socket is not absolute")
	case len(path) > longest:
		return address{}, fmt.Errorf("the path of the socket is longer than %d bytes", longest)
	}
	return address{"unix", filepath.Clean(path)}, nil
}

// local reports whether only this machine, or this pod, can reach the address.
func (a address) local() bool {
	if a.network != "tcp" {
		return true
	}
	host, _, _ := net.SplitHostPort(a.text)
	return loopbackHost(host)
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// collides reports whether the two cannot both be listened on.
func (a address) collides(b address) bool {
	if a.off() || a.network != b.network {
		return false
	}
	if a.network == "unix" {
		return a.text == b.text
	}
	hostA, portA, _ := net.SplitHostPort(a.text)
	hostB, portB, _ := net.SplitHostPort(b.text)
	if portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || anyHost(hostA) || anyHost(hostB)
}

func anyHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.Unmap().IsUnspecified()
}

// reachable returns the address to ask a listener at from the same machine: one
// that listens everywhere is asked on loopback.
func (a address) reachable() address {
	if a.network != "tcp" {
		return a
	}
	host, port, _ := net.SplitHostPort(a.text)
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip.Unmap().IsUnspecified() && (ip.Is4() || ip.Is4In6()):
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return address{"tcp", net.JoinHostPort(host, port)}
}

// listenKey is one key that holds an address.
type listenKey struct{ key, value string }

func (c *Config) listenKeys() []listenKey {
	return []listenKey{
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
	keys := l.Config.listenKeys()
	addresses := make([]address, len(keys))
	for i, k := range keys {
		a, err := parseAddress(k.value)
		if err != nil {
			l.fault(k.key, k.value, err.Error(), howTo)
			continue
		}
		addresses[i] = a
		l.validateExposure(k, a)
		for j := range i {
			if a.collides(addresses[j]) {
				l.fault(k.key, k.value, fmt.Sprintf("collides with %s %s", keys[j].key, keys[j].value), "give each listener a port of its own")
			}
		}
	}
	if l.Config.Listen == (ListenConfig{off, off, off, off}) {
		l.fault("listen", "", "every listener is off", "there would be nothing to serve")
	}
}

func (l *Loaded) validateExposure(k listenKey, a address) {
	if a.local() {
		return
	}
	switch {
	case k.key == "listen.admin" && l.Config.Admin.KeySHA256 == "":
		l.fault(k.key, k.value, "open to other machines without admin.key_sha256",
			"listen on 127.0.0.1, or give the SHA-256 of a key")
	case (k.key == "listen.apps" || strings.HasPrefix(k.key, "alias.")) && len(l.Config.Callers) == 0:
		l.fault(k.key, k.value, "open to other machines without callers: whoever reaches it could act for every account",
			"listen on 127.0.0.1 or unix:///path, or list callers")
	}
}

// parseSocketMode reads the octal mode of a socket.
func parseSocketMode(text string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, errors.New("not an octal file mode")
	}
	return fs.FileMode(mode), nil
}
