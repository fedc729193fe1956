package config

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// hostnamePattern is a host name: labels of letters, digits, hyphens and, as some
// container networks use them, underscores.
var hostnamePattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

func validHostname(host string) bool { return len(host) <= 253 && hostnamePattern.MatchString(host) }

// validHost reports whether host is a name or an IP address.
func validHost(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || validHostname(host)
}

// parseWebURL reads an absolute http or https URL without user and fragment.
// reason says what is wrong; no reason repeats the text, which may hold a secret.
func parseWebURL(text string) (u *url.URL, reason string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, "not an absolute http:// or https:// URL"
	case !validHost(u.Hostname()):
		return nil, "a URL without a valid host"
	case !validPort(u.Port()) || strings.HasSuffix(u.Host, ":"):
		return nil, "a URL without a valid port"
	case u.User != nil:
		return nil, "a URL with user and password"
	case strings.Contains(text, "#"):
		return nil, "a URL with a fragment"
	}
	return u, ""
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// shownURL returns a URL for a report, without what may be a secret in it.
func shownURL(text string) string {
	text, _, _ = strings.Cut(text, "?")
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			return scheme + "://…@" + rest[at+1:]
		}
	}
	return text
}

func (l *Loaded) validateUpstream() {
	up := &l.Config.Upstream
	l.validateUpstreamURL("upstream.url", up.URL)
	for i, text := range up.Fallback {
		l.validateUpstreamURL(indexed("upstream.fallback", i), text)
	}
	if up.CAFile != "" {
		l.validateCAFile(up.CAFile)
	}
	if up.Resolver != "" {
		host, port, err := net.SplitHostPort(up.Resolver)
		if err != nil || !validHost(host) || port == "" || !validPort(port) {
			l.fault("upstream.resolver", up.Resolver, "not the address of a DNS server", "write host:port, like 10.0.0.2:53")
		}
	}
	l.validateProxy(up.Proxy.Reveal())
	l.atLeast("upstream.timeout", up.Timeout, 1)
}

// validateProxy checks upstream.proxy, and does not show it: it may hold a password.
func (l *Loaded) validateProxy(text string) {
	const key = "upstream.proxy"
	if text == "" {
		return
	}
	if inQuotes(text) {
		l.fault(key, "", "stands in quotes that are part of the value", quotesHint)
		return
	}
	if err := dial.CheckProxyURL(text); err != nil {
		if reason, hint := foreignCharacter(text); reason != "" {
			l.fault(key, "", reason, "write it again"+hint)
			return
		}
		l.fault(key, "", err.Error(), "write it like http://10.0.0.8:3128, or socks5://user:password@10.0.0.8:1080")
		return
	}
	u, err := url.Parse(text)
	if err != nil || !loopbackHost(u.Hostname()) {
		return
	}
	for _, k := range l.Config.ListenKeys() {
		host, port, err := net.SplitHostPort(k.Value)
		if err == nil && port == u.Port() && (anyHost(host) || loopbackHost(host)) {
			l.fault(key, "", "is the sidecar's own listener "+k.Key, "give the address of the proxy that leads out to WeChat")
		}
	}
}

// warnOfProxyVariables warns of variables that have many programs call through a
// proxy. The sidecar does not follow them: they are often meant for the app beside it,
// and lead to the sidecar.
func (l *Loaded) warnOfProxyVariables(env Environment) {
	if !l.Config.Upstream.Proxy.IsZero() || l.faulty("upstream.proxy") || l.faulty("upstream.proxy_file") {
		return
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		if env[name] != "" {
			l.Warnings = append(l.Warnings, "environment "+name+": has no effect on the sidecar's own calls; "+
				"if they must leave through a proxy, set upstream.proxy ("+variableOfPath("upstream.proxy")+")")
		}
	}
}

func (l *Loaded) validateUpstreamURL(key, text string) {
	u, reason := parseWebURL(text)
	if reason == "" && (strings.Trim(u.Path, "/") != "" || strings.Contains(text, "?")) {
		reason = "has more than a host"
	}
	if reason != "" {
		l.fault(key, shownURL(text), reason, "write it like "+wechat.DefaultURL)
		return
	}
	if u.Scheme != "http" {
		return
	}
	if !privateHost(u.Hostname()) {
		l.fault(key, shownURL(text), "http would send tokens in clear over the network",
			"use https; http is only for trials on a loopback or private address")
		return
	}
	l.warn(key, "tokens go to "+shownURL(text)+" without TLS; only for trials")
}

// privateHost reports whether host is this machine or an address of a private
// network. A name other than localhost is not: it may resolve to anything.
func privateHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return loopbackHost(host) || err == nil && ip.Unmap().IsPrivate()
}

func (l *Loaded) validateCAFile(path string) {
	pem, err := os.ReadFile(path)
	if err != nil {
		l.fault("upstream.ca_file", path, "cannot be read: "+cause(err), unreadableHint)
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		l.fault("upstream.ca_file", path, "holds no certificate", "it must be PEM with -----BEGIN CERTIFICATE-----")
	}
}

func (l *Loaded) validatePush() {
	push := &l.Config.Push
	if push.PublicURL != "" {
		u, reason := parseWebURL(push.PublicURL)
		switch {
		case reason == "" && strings.Contains(push.PublicURL, "?"):
			reason = "has a query"
		case reason == "" && u.Scheme == "http" && !privateHost(u.Hostname()):
			l.warn("push.public_url", "merchants' authorization codes would come in clear; use https")
		}
		if reason != "" {
			l.fault("push.public_url", shownURL(push.PublicURL), reason, "write it like https://wx.example.com")
		}
	}
	l.validateLanding()
	if push.LoginURL != "" {
		u, reason := parseWebURL(push.LoginURL)
		if reason == "" && (strings.Trim(u.Path, "/") != "" || strings.Contains(push.LoginURL, "?")) {
			reason = "has more than a host"
		}
		if reason != "" {
			l.fault("push.login_url", shownURL(push.LoginURL), reason, "leave it out, unless you try with a simulator")
		} else if !privateHost(u.Hostname()) {
			l.warn("push.login_url", "merchants are sent there in place of WeChat; only for trials")
		}
	}
	l.atLeast("push.timestamp_window", push.TimestampWindow, 1)
}

// validateLanding checks where merchants go on to. Without a signature anybody could claim
// there to have authorised any account.
func (l *Loaded) validateLanding() {
	push := &l.Config.Push
	if push.LandingURL == "" {
		if !push.LandingSecret.IsZero() {
			l.fault("push.landing_secret", "", "signs nothing", "set push.landing_url, or leave it out")
		}
		return
	}
	if _, reason := parseWebURL(push.LandingURL); reason != "" {
		l.fault("push.landing_url", shownURL(push.LandingURL), reason, "write it like https://example.com/welcome")
	}
	switch {
	case push.PublicURL == "":
		l.warn("push.landing_url", "has no effect without push.public_url")
	case push.LandingSecret.IsZero() && !l.faulty("push.landing_secret") && !l.faulty("push.landing_secret_file"):
		l.fault("push.landing_secret", "", "missing", "push.landing_url needs it: the app tells by the signature that a merchant has authorised")
	}
}

func (l *Loaded) validateHosts() {
	for i, host := range l.Config.Apps.AllowedHosts {
		if !validHost(host) {
			l.fault(indexed("apps.allowed_hosts", i), host, "not a host", "write a name or an IP address, without scheme and port")
		}
	}
	for i, pattern := range l.Config.Connect.Allow {
		if proxy.CheckTunnelPattern(pattern) != nil {
			l.fault(indexed("connect.allow", i), pattern, "not a host pattern", "write a name, *.name, * for any public host, or an address or range in CIDR form, with :port unless it is 443")
		}
	}
}
