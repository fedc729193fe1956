package proxy

import (
	"bytes"
	"net/netip"
)

// target is a parsed request target. Its bytes are those that were read, without the
// path's empty segments.
type target struct {
	// host is the authority of an absolute-form target, else nil.
	host        []byte
	secure      bool // its scheme is https
	path, query []byte
}

// splitTarget parses a request target in place. It refuses what could be read in two ways,
// so that the same form is checked, matched and sent.
func splitTarget(raw []byte) (target, *fault) {
	var t target
	if bytes.IndexByte(raw, '#') >= 0 {
		return t, badRequest("the request target holds a fragment: leave it out")
	}
	rest := raw
	if len(rest) == 0 || rest[0] != '/' {
		// Some clients, such as axios up to 1.16, send the whole https URL to their proxy
		// instead of a CONNECT.
		t.host, t.secure = afterScheme(rest, "https://")
		if !t.secure {
			var plain bool
			if t.host, plain = afterScheme(rest, "http://"); !plain {
				return t, badRequest("the request target must begin with /, http:// or https://")
			}
		}
		rest = nil
		if i := bytes.IndexAny(t.host, "/?"); i >= 0 {
			t.host, rest = t.host[:i], t.host[i:]
		}
	}
	path, query, _ := bytes.Cut(rest, questionMark)
	if len(path) == 0 {
		path = slash
	}
	t.path, t.query = mergeSlashes(path), query
	return t, checkPath(t.path)
}

// mergeSlashes removes the empty segments of path, in place. Widely used code has URLs
// with them, and WeChat serves those.
func mergeSlashes(path []byte) []byte {
	at := bytes.Index(path, twoSlashes)
	if at < 0 {
		return path
	}
	merged := path[:at+1]
	for _, c := range path[at+1:] {
		if c != '/' || merged[len(merged)-1] != '/' {
			merged = append(merged, c)
		}
	}
	return merged
}

// afterScheme returns what follows a scheme, and whether b begins with it.
func afterScheme(b []byte, scheme string) ([]byte, bool) {
	if len(b) < len(scheme) || !equalFold(b[:len(scheme)], scheme) {
		return nil, false
	}
	return b[len(scheme):], true
}

var (
	questionMark = []byte("?")
	slash        = []byte("/")
	twoSlashes   = []byte("//")
)

// checkPath refuses a path that could be read in two ways. No path of WeChat's needs a
// percent escape, so escapes are refused rather than decoded.
func checkPath(path []byte) *fault {
	for i, c := range path {
		switch {
		case c == '%':
			return badRequest("the path holds a percent escape; spell it plainly")
		case c <= ' ' || c >= 0x7f || c == '\\' || c == ';':
			return badRequest("the path holds a character that no path of WeChat's has: spell the path without it")
		case c == '.' && path[i-1] == '/' && dotSegment(path[i:]):
			return badRequest("the path holds a dot segment: spell the path without it")
		}
	}
	return nil
}

// dotSegment reports whether the segment that b begins with is "." or "..".
func dotSegment(b []byte) bool {
	if end := bytes.IndexByte(b, '/'); end >= 0 {
		b = b[:end]
	}
	return string(b) == "." || string(b) == ".."
}

// withoutSlash returns path without a slash at its end, which does not count, as in the
// catalogue.
func withoutSlash(path []byte) []byte {
	if n := len(path); n > 1 && path[n-1] == '/' {
		return path[:n-1]
	}
	return path
}

const (
	appIDLength  = len("wx0123456789abcdef")
	prefixLength = len("/") + appIDLength
)

// cutAppIDPrefix cuts off the path prefix /wx…16 hex…/.
func cutAppIDPrefix(path []byte) (appid, rest []byte) {
	if len(path) <= prefixLength || path[prefixLength] != '/' || path[0] != '/' || !isAppID(path[1:prefixLength]) {
		return nil, path
	}
	return path[1:prefixLength], path[prefixLength:]
}

// isAppID reports whether s has the form of WeChat's appids: wx and 16 hexadecimal digits.
func isAppID[T string | []byte](s T) bool {
	if len(s) != appIDLength || s[0] != 'w' || s[1] != 'x' {
		return false
	}
	for i := 2; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// plausibleAppID reports whether s could be an appid, so that it may be looked up and
// named in an answer.
func plausibleAppID(s string) bool {
	for i := range len(s) {
		if !unreserved(s[i]) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

const maxHost = 253

// hostName returns the name in a Host, in lower case and without port or
// brackets, appended to dst; false if it is none.
func hostName(dst, host []byte) ([]byte, bool) {
	if bytes.HasPrefix(host, []byte("[")) {
		end := bytes.IndexByte(host, ']')
		if end < 0 || !isPort(host[end+1:]) {
			return dst, false
		}
		host = host[1:end]
	} else if i := bytes.IndexByte(host, ':'); i >= 0 {
		if !isPort(host[i:]) {
			return dst, false
		}
		host = host[:i]
	}
	if len(host) == 0 || len(host) > maxHost {
		return dst, false
	}
	for _, c := range host {
		if !unreserved(c) && c != ':' {
			return dst, false
		}
		dst = append(dst, lower(c))
	}
	return dst, true
}

// isPort reports whether b is empty or a colon and digits.
func isPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return b[0] == ':' && len(b) <= len(":65535")
}

// isLocalName reports whether a host's name is one of the usual ones of this machine.
func isLocalName(name []byte) bool {
	return string(name) == "localhost" || string(name) == "127.0.0.1" || string(name) == "::1"
}

// isLoopback reports whether a host's name is one of this machine's own.
func isLoopback(name []byte) bool {
	if isLocalName(name) {
		return true
	}
	addr, err := netip.ParseAddr(string(name))
	return err == nil && addr.IsLoopback()
}
