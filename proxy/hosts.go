package proxy

import (
	"net"
	"strings"
)

// wechatHosts are WeChat's hosts for the API; they all serve the same. See
// https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Interface_field_description.html
var wechatHosts = []string{
	"api.weixin.qq.com", "api2.weixin.qq.com",
	"sh.api.weixin.qq.com", "sz.api.weixin.qq.com", "hk.api.weixin.qq.com",
	// The former name for uploads, which some SDKs still call.
	"file.api.weixin.qq.com",
}

// hostNames returns the names by which apps may call: WeChat's, those of the upstreams,
// and extra ones from the configuration, in lower case and without ports.
func hostNames(hosts []*host, extra []string) map[string]struct{} {
	names := map[string]struct{}{}
	for _, n := range wechatHosts {
		names[n] = struct{}{}
	}
	for _, h := range hosts {
		names[strings.ToLower(h.dialer.Name)] = struct{}{}
	}
	for _, n := range extra {
		if bare, _, err := net.SplitHostPort(n); err == nil {
			n = bare
		}
		names[strings.ToLower(strings.Trim(n, "[]"))] = struct{}{}
	}
	return names
}

// authorities returns the hosts as their URLs name them: host or host:port.
func authorities(hosts []*host) map[string]struct{} {
	all := map[string]struct{}{}
	for _, h := range hosts {
		all[h.name] = struct{}{}
	}
	return all
}

// checkHost refuses hosts that are neither ours nor WeChat's. Otherwise a web page could
// reach a merchant's account by a name that its DNS points at the loopback address. The
// request target may have an authority as well.
func (s *Server) checkHost(t target, host []byte, local net.Addr) *fault {
	absolute := t.host
	var buf [maxHost]byte
	name, ok := hostName(buf[:0], host)
	if !ok {
		return forbidden("forbidden_host", "the Host is missing or malformed: send the name by which the sidecar is called")
	}
	if absolute != nil && !sameHost(absolute, host) {
		return badRequest("the Host and the host of the request target differ: make them the same")
	}
	if absolute == nil && isLocalName(name) {
		return nil // by far the most frequent
	}
	_, known := s.hosts[string(name)]
	if absolute != nil && isLoopback(name) {
		// Otherwise it is a call to another service of this machine, by an app that uses
		// the sidecar as its proxy.
		known = s.isSelf(t, local)
	}
	if known || absolute == nil && isLoopback(name) {
		return nil
	}
	if absolute != nil {
		return forbidden("forbidden_host", "as an HTTP proxy the sidecar serves WeChat's API hosts, not "+string(name)+
			": send the app's other traffic past it (NO_PROXY)")
	}
	if local.Network() == "unix" {
		// No browser can use a unix socket, and its clients send any Host.
		return nil
	}
	return forbidden("forbidden_host", "the host "+string(name)+" is not one of the sidecar's: "+
		"call it by a loopback name, or add the host to apps.allowed_hosts")
}

// isSelf reports whether the target's loopback authority is the listener that the call
// came to, or an upstream, as the simulator is in a trial.
func (s *Server) isSelf(t target, local net.Addr) bool {
	if _, upstream := s.authorities[string(t.host)]; upstream {
		return true
	}
	_, own, err := net.SplitHostPort(local.String())
	_, port, err2 := net.SplitHostPort(string(t.host))
	return err == nil && err2 == nil && own == port && !t.secure
}

// sameHost reports whether two authorities name the same host. Ports do not count.
func sameHost(a, b []byte) bool {
	var bufA, bufB [maxHost]byte
	nameA, okA := hostName(bufA[:0], a)
	nameB, okB := hostName(bufB[:0], b)
	return okA && okB && string(nameA) == string(nameB)
}
