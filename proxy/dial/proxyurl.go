package dial

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// proxyURL is what upstream.proxy says.
type proxyURL struct {
	scheme     string // http, https or socks5
	host, port string
	// user is empty where no credentials are given.
	user, password string
}

// CheckProxyURL returns what is wrong with a proxy's URL, or nil. The error never
// shows it, as it may hold a password.
func CheckProxyURL(raw string) error {
	_, err := parseProxyURL(raw)
	return err
}

func parseProxyURL(raw string) (proxyURL, error) {
	if !strings.Contains(raw, "://") {
		return proxyURL{}, errors.New("has no scheme; begin it with http://, https:// or socks5://")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return proxyURL{}, errors.New("not a URL; in the user's name and the password write each of : / ? # [ ] @ % as an escape, like %40 for @")
	}
	p := proxyURL{scheme: u.Scheme, host: u.Hostname(), port: u.Port()}
	if err := checkScheme(p.scheme); err != nil {
		return proxyURL{}, err
	}
	if u.Opaque != "" || strings.Trim(u.Path, "/") != "" || strings.ContainsAny(raw, "?#") {
		return proxyURL{}, errors.New("has more than a host and a port; in the user's name and the password write / as %2F, ? as %3F and # as %23")
	}
	if err := p.checkHost(); err != nil {
		return proxyURL{}, err
	}
	if u.User != nil {
		p.user = u.User.Username()
		p.password, _ = u.User.Password()
		if err := p.checkCredentials(); err != nil {
			return proxyURL{}, err
		}
	}
	return p, nil
}

func checkScheme(scheme string) error {
	switch scheme {
	case "http", "https", "socks5":
		return nil
	case "socks5h":
		return errors.New("write socks5:// for socks5h://; the proxy looks names up in any case")
	}
	return errors.New("the scheme is none of http, https and socks5")
}

func (p proxyURL) checkHost() error {
	if p.host == "" || strings.ContainsFunc(p.host, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return errors.New("has no host")
	}
	if _, err := netip.ParseAddr(p.host); err != nil && strings.ContainsAny(p.host, ":%/\\") {
		return errors.New("the host is neither a name nor an address")
	}
	n, err := strconv.ParseUint(p.port, 10, 16)
	switch {
	case p.port == "":
		return errors.New("has no port; proxies have no common one: often 3128 or 8080, for SOCKS 1080")
	case err != nil || n == 0:
		return errors.New("the port is not a number from 1 to 65535")
	}
	return nil
}

func (p proxyURL) checkCredentials() error {
	const most = 255 // RFC 1929
	switch {
	case p.user == "":
		return errors.New("a password without a user's name; write user:password@")
	case p.scheme != "socks5" && strings.Contains(p.user, ":"):
		return errors.New("the user's name has a colon, which Basic credentials cannot carry (RFC 7617)")
	case p.scheme == "socks5" && (len(p.user) > most || len(p.password) > most):
		return errors.New("the user's name and the password may each have at most 255 bytes (RFC 1929)")
	case strings.ContainsFunc(p.user+p.password, unicode.IsControl):
		return errors.New("the user's name or the password has a control character in it")
	}
	return nil
}

// address is the proxy's host:port.
func (p proxyURL) address() string { return net.JoinHostPort(p.host, p.port) }
