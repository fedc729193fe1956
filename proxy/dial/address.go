package dial

import (
	"net/netip"
	"slices"
	"strings"
)

// IsWeChat reports whether a name in lower case is one of WeChat's.
func IsWeChat(name string) bool { return strings.HasSuffix(name, ".weixin.qq.com") }

// Public reports whether an address may be WeChat's: not this machine, not a
// private network, nor one of these behind NAT64.
func Public(a netip.Addr) bool {
	a = plain(a)
	return a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a)
}

// plain returns the IPv4 address that a stands for, or else a.
func plain(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// Metadata reports whether an address is link-local or, by whatever other address, a cloud's
// service that tells a machine's secrets to whoever asks.
func Metadata(a netip.Addr) bool {
	a = plain(a)
	return a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || slices.Contains(metadataServices, a)
}

// metadataServices are those that are not link-local.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
}

var (
	nat64       = netip.MustParsePrefix("64:ff9b::/96")
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
)

// OpenInternet reports whether an address may be tunnelled to without being named
// in connect.allow: one that the whole internet routes. What else an address can
// lead to (this machine, its network, the cloud's metadata service, another
// address hidden inside) is not for an app to reach through us.
func OpenInternet(a netip.Addr) bool {
	a = plain(a)
	if a.Is6() && !globalUnicast6.Contains(a) {
		return false
	}
	for _, p := range notInternet {
		if p.Contains(a) {
			return false
		}
	}
	return Public(a)
}

// globalUnicast6 is all that IANA gives out of IPv6.
var globalUnicast6 = netip.MustParsePrefix("2000::/3")

// notInternet are the special addresses that are not private, loopback,
// link-local or multicast already. See
// https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry
var notInternet = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("168.63.129.16/32"), // the host of an Azure machine
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), // Teredo among others
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4
}
