package proxy

import "bytes"

// class says how a header line is treated.
type class uint8

const (
	classPass        class = iota // forwarded as it came
	classDrop                     // hop-by-hop, or written by us
	classOurs                     // ours: never forwarded
	classAppID                    // X-Wechat-Appid
	classComponent                // X-Wechat-Component
	classKey                      // X-Wxsidecar-Key
	classCredentials              // Proxy-Authorization
	classConnection               // Connection: it names more lines to drop
	classFraming                  // Transfer-Encoding, Content-Length
	classOrigin                   // Origin: sent by a browser
	classFetchSite                // Sec-Fetch-Site: sent by a browser
	classReferer                  // Referer: perhaps sent by a browser; forwarded
	classTrace                    // traceparent: forwarded if it is valid
	classTraceState               // tracestate: forwarded with it
)

const maxClassifiedName = 32

// classify returns the class of a header name, in requests and in answers. An underscore
// counts as a hyphen, since some servers treat them alike; spelled is false for a name with
// an underscore that is not classPass.
func classify(name []byte) (c class, spelled bool) {
	if len(name) > maxClassifiedName {
		if !hasOurPrefix(name) {
			return classPass, true
		}
		c = classOurs
	} else {
		var buf [maxClassifiedName]byte
		for i, b := range name {
			buf[i] = nameBytes[b]
		}
		c = classOf(buf[:len(name)])
	}
	return c, c == classPass || bytes.IndexByte(name, '_') < 0
}

// scanName is classify for the name of a header line, which colon is the length of; 0 for a
// line that does not begin with a name and a colon. Each byte is looked at once.
func scanName(line []byte) (colon int, c class, spelled bool) {
	var buf [maxClassifiedName]byte
	for i, b := range line {
		switch plain := nameBytes[b]; {
		case plain == 0 && (b != ':' || i == 0):
			return 0, classPass, true
		case plain == 0 && i > len(buf):
			c, spelled = classify(line[:i])
			return i, c, spelled
		case plain == 0:
			c = classOf(buf[:i])
			return i, c, c == classPass || bytes.IndexByte(line[:i], '_') < 0
		case i < len(buf):
			buf[i] = plain
		}
	}
	return 0, classPass, true
}

// nameBytes has of each byte that a name may have the one that it is compared as: its lower
// case, and a hyphen for an underscore. It has 0 for all others.
var nameBytes = func() (all [256]byte) {
	for i := range all {
		switch c := byte(i); {
		case c == '_':
			all[i] = '-'
		case tokenByte(c):
			all[i] = lower(c)
		}
	}
	return all
}()

func classOf(name []byte) class {
	switch string(name) {
	case "connection":
		return classConnection
	case "content-length", "transfer-encoding":
		return classFraming
	case "host", "accept-encoding", "expect", "keep-alive", "proxy-connection", "proxy-authenticate",
		"proxy-authentication-info", "te", "trailer", "upgrade", "http2-settings":
		return classDrop
	case "proxy-authorization":
		return classCredentials
	case "x-wechat-appid":
		return classAppID
	case "x-wechat-component":
		return classComponent
	case "x-wxsidecar-key":
		return classKey
	case "origin":
		return classOrigin
	case "sec-fetch-site":
		return classFetchSite
	case "referer":
		return classReferer
	case "traceparent":
		return classTrace
	case "tracestate":
		return classTraceState
	}
	if hasOurPrefix(name) {
		return classOurs
	}
	return classPass
}

func hasOurPrefix(name []byte) bool {
	const prefix = "x-wxsidecar"
	if len(name) < len(prefix) || lower(name[0]) != 'x' {
		return false
	}
	for i := range len(prefix) {
		c := lower(name[i])
		if c == '_' {
			c = '-'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
