package proxy

import (
	"bytes"

	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

const (
	paramFromAppID      = "from_appid"
	paramComponentAppID = "component_appid"
)

// paramSet is a set of the query parameters that we interpret.
type paramSet uint8

const (
	hasAccessToken    paramSet = 1 << iota // access_token
	hasComponentToken                      // component_access_token
	hasFromAppID                           // from_appid
	hasComponentAppID                      // component_appid
)

// params are our parameters in a raw query. Their bytes are those of the query, except
// those of a handle or a component_appid that was percent-encoded.
type params struct {
	present paramSet
	// token is the first non-empty value of a token parameter; a handle is decoded.
	token []byte
	// from is the value of from_appid.
	from []byte
	// component is the value of component_appid, decoded.
	component []byte
	// blank is the name of an appid parameter with a blank value; empty for none.
	blank string
}

// scanQuery returns our parameters in a raw query. It refuses a query in which another
// parser could find one that we do not: under an encoded or differently spelled name, or
// after a semicolon.
func scanQuery(query []byte) (params, *fault) {
	var p params
	if f := refuseControl(query); f != nil {
		return p, f
	}
	for rest := query; len(rest) > 0; {
		var piece []byte
		piece, rest, _ = bytes.Cut(rest, ampersand)
		name, value, _ := bytes.Cut(piece, equals)
		switch which := paramOf(name); {
		case which == hasFromAppID || which == hasComponentAppID:
			if p.present&which != 0 {
				return p, badRequest(string(name) + " is given twice: give it once")
			}
			p.present |= which
			p.takeAppID(which, value)
		case which != 0:
			p.present |= which
			value = decodeHandle(value)
			if differentHandles(p.token, value) {
				return p, badRequest("two token parameters hold different handles: send one")
			}
			if len(p.token) == 0 {
				p.token = value
			}
		}
		if len(piece) >= len(paramFromAppID) && hidesParam(name, piece) {
			return p, badRequest("the query names access_token, component_access_token, from_appid or component_appid " +
				"in a way that another parser could read differently: spell it plainly")
		}
	}
	return p, nil
}

func (p *params) takeAppID(which paramSet, value []byte) {
	name := paramFromAppID
	if which == hasFromAppID {
		p.from = value
	} else {
		name, p.component = paramComponentAppID, value
		if bytes.IndexByte(value, '%') >= 0 {
			p.component = unescape(value) // WeChat gets it as it was sent, and would decode it
		}
	}
	if isBlank(value) {
		p.blank = name
	}
}

// isBlank reports whether a raw value is empty or holds nothing but spaces.
func isBlank(value []byte) bool {
	if bytes.IndexByte(value, '%') >= 0 {
		value = unescape(value)
	}
	return len(bytes.Trim(value, " +")) == 0
}

// decodeHandle decodes value if it is a percent-encoded handle. A handle that is not
// recognised would name no account, and the call would be made for the default one.
func decodeHandle(value []byte) []byte {
	if bytes.IndexByte(value, '%') < 0 {
		return value
	}
	if plain := unescape(value); isHandle(plain) {
		return plain
	}
	return value
}

// differentHandles reports whether two token parameters differ and one is a handle.
func differentHandles(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 && (isHandle(a) || isHandle(b)) && !bytes.Equal(a, b)
}

var (
	ampersand = []byte("&")
	equals    = []byte("=")
	semicolon = []byte(";")
)

func paramOf(name []byte) paramSet {
	switch string(name) {
	case routes.AccessToken:
		return hasAccessToken
	case routes.ComponentAccessToken:
		return hasComponentToken
	case paramFromAppID:
		return hasFromAppID
	case paramComponentAppID:
		return hasComponentAppID
	default:
		return 0
	}
}

// refuseControl refuses encoded control characters. fasthttp refuses the raw ones.
func refuseControl(query []byte) *fault {
	for i := bytes.IndexByte(query, '%'); i >= 0 && i+2 < len(query); {
		if c, ok := unhex(query[i+1], query[i+2]); ok && (c < ' ' || c == 0x7f) {
			return badRequest("the query holds an encoded control character: leave it out")
		}
		next := bytes.IndexByte(query[i+1:], '%')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return nil
}

// hidesParam reports whether another parser could take piece for one of our parameters,
// although its name is not spelled as one.
func hidesParam(name, piece []byte) bool {
	if bytes.IndexByte(piece, ';') >= 0 {
		for part := range bytes.SplitSeq(piece, semicolon) {
			n, _, _ := bytes.Cut(part, equals)
			if decodesToParam(n) && len(part) != len(piece) {
				return true
			}
		}
	}
	return paramOf(name) == 0 && decodesToParam(name)
}

// decodesToParam reports whether name, decoded up to twice and in any case, is the name of
// one of our parameters. It ignores surrounding spaces and a trailing [], as PHP and others
// do.
func decodesToParam(name []byte) bool {
	if len(name) < len(paramFromAppID) {
		return false
	}
	for range 3 {
		bare, _, _ := bytes.Cut(bytes.Trim(name, " \x00+."), []byte("["))
		if isParamName(bytes.TrimRight(bare, " \x00+")) {
			return true
		}
		if bytes.IndexByte(name, '%') < 0 {
			return false
		}
		name = unescape(name)
	}
	return false
}

func isParamName(name []byte) bool {
	return equalFold(name, routes.AccessToken) || equalFold(name, routes.ComponentAccessToken) ||
		equalFold(name, paramFromAppID) || equalFold(name, paramComponentAppID)
}
