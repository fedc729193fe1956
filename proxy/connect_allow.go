package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// tunnelPort is the port of a tunnel where its rule names none.
const tunnelPort = 443

// tunnelRule is one pattern of connect.allow. Of host, suffix, prefix and any one
// is set.
type tunnelRule struct {
	host   string       // exactly this name
	suffix string       // names that end so: ".weixin.qq.com"
	prefix netip.Prefix // these addresses, public or not
	any    bool         // every public host
	port   uint16
}

// tunnelRules are the hosts to which tunnels are allowed. Names and addresses have rules
// of their own: a tunnel to an allowed name uses a private address only if that address is
// allowed as well.
type tunnelRules []tunnelRule

// CheckTunnelPattern returns what is wrong with a pattern for
// [ConnectOptions.Allow], or nil.
func CheckTunnelPattern(pattern string) error {
	_, err := parseTunnelRule(pattern)
	return err
}

func parseTunnelRules(patterns []string) (tunnelRules, error) {
	rules := make(tunnelRules, len(patterns))
	for i, p := range patterns {
		var err error
		if rules[i], err = parseTunnelRule(p); err != nil {
			return nil, fmt.Errorf("connect.allow[%d] %q: %w", i, p, err)
		}
	}
	return rules, nil
}

func parseTunnelRule(pattern string) (tunnelRule, error) {
	text, port, err := cutPort(strings.ToLower(pattern))
	if err != nil {
		return tunnelRule{}, err
	}
	r := tunnelRule{port: port}
	if text == "*" {
		r.any = true
		return r, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		r.prefix = netip.PrefixFrom(a, a.BitLen())
		return r, nil
	}
	if r.prefix, err = netip.ParsePrefix(text); err == nil {
		r.prefix = r.prefix.Masked()
		return r, nil
	}
	name, below := strings.CutPrefix(text, "*.")
	if _, ok := hostName(nil, []byte(name)); !ok || numeric(name) {
		return r, errors.New("neither a name, *.name, *, an IP address nor a range of them, with or without :port")
	}
	if below {
		r.suffix = "." + name
	} else {
		r.host = name
	}
	return r, nil
}

// cutPort splits a pattern into host and port. It removes the brackets of an IPv6 address.
func cutPort(text string) (host string, port uint16, err error) {
	host, digits := text, ""
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if host, digits, ok = strings.Cut(inner, "]"); !ok {
			return "", 0, errors.New("a bracket is not closed")
		}
	} else if i := strings.IndexByte(text, ':'); i >= 0 && i == strings.LastIndexByte(text, ':') {
		host, digits = text[:i], text[i:]
	}
	if digits == "" {
		return host, tunnelPort, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(digits, ":"), 10, 16)
	if err != nil || n == 0 || digits[0] != ':' {
		return "", 0, errors.New("the port is not a number from 1 to 65535")
	}
	return host, uint16(n), nil
}

// allowsName reports whether a rule allows the name. public says whether the name may be a
// public host's, which is what '*' stands for.
func (t tunnelRules) allowsName(name string, port uint16, public bool) bool {
	for _, r := range t {
		if r.port == port && (r.any && public || r.host == name && r.host != "" || r.suffix != "" && strings.HasSuffix(name, r.suffix)) {
			return true
		}
	}
	return false
}

// allowsAddr reports whether an address or a range in the rules has a.
func (t tunnelRules) allowsAddr(a netip.Addr, port uint16) bool {
	for _, r := range t {
		if r.port == port && r.prefix.IsValid() && r.prefix.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// allowsLiteral reports whether a tunnel may be made whose target is an address instead of a
// name.
func (t tunnelRules) allowsLiteral(a netip.Addr, port uint16) bool {
	for _, r := range t {
		if r.any && r.port == port && dial.OpenInternet(a) {
			return true
		}
	}
	return t.allowsAddr(a, port)
}

// publicName reports whether a name may be that of a host on the internet: it has more
// than one label, and its last label is not reserved for, or commonly used in, private
// networks. See https://www.iana.org/assignments/special-use-domain-names.
func publicName(name string) bool {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return false
	}
	switch name[i+1:] {
	case "localhost", "local", "internal", "arpa", "test", "invalid", "home", "corp", "lan", "intranet", "private", "svc":
		return false
	}
	return true
}

// numeric reports whether some resolvers read a name as an address:
// 2130706433, 127.1 and 0x7f.0.0.1 are all 127.0.0.1 to them.
func numeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return last == "" || last[0] >= '0' && last[0] <= '9'
}

// splitAuthority reads the target of a CONNECT. host is an address without
// brackets, or a name in lower case.
func splitAuthority(target []byte) (host string, port uint16, ok bool) {
	name, ok := hostName(nil, target)
	if !ok {
		return "", 0, false
	}
	i := strings.LastIndexByte(string(target), ':')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(string(target[i+1:]), 10, 16)
	if err != nil || n == 0 {
		return "", 0, false
	}
	host = strings.TrimSuffix(string(name), ".")
	return host, uint16(n), host != ""
}
