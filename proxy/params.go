package proxy

import (
	"bytes"

	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

const (
	paramFromAppID      = "from_appid"
	paramComponentAppID = "component_appid"
)

// named is a set of the query parameters that mean something to us.
type named uint8

const (
	namedAccess    named = 1 << iota // access_token
	namedComponent                   // component_access_token
	namedFrom                        // from_appid
	namedPlatform                    // component_appid
)

// params is what a raw query says to us. Its bytes are those of the query, but for a
// handle that was encoded there.
type params struct {
	named named
	// token is the first non-empty value of a token parameter; a handle is decoded.
	token []byte
	// from is the value of from_appid.
	from []byte
	// blank is the name of an account that is given without a value, if there is one.
	blank string
}

// scanQuery reads our parameters out of a raw query. It refuses a query in which
// another parser could find one of them that we do not see: under an encoded or
// differently spelled name, or behind a semicolon.
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
		case which == namedFrom || which == namedPlatform:
			if p.named&which != 0 {
				return p, badRequest(string(name) + " is given twice: give it once")
			}
			p.named |= which
			p.takeAppID(which, value)
		case which != 0:
			p.named |= which
			value = plainHandle(value)
			if twoHandles(p.token, value) {
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

func (p *params) takeAppID(which named, value []byte) {
	name := paramComponentAppID
	if which == namedFrom {
		name, p.from = paramFromAppID, value
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

// plainHandle decodes a handle: one that is not seen names no account, and the call
// would go out for the default one.
func plainHandle(value []byte) []byte {
	if bytes.IndexByte(value, '%') < 0 {
		return value
	}
	if plain := unescape(value); isHandle(plain) {
		return plain
	}
	return value
}

// twoHandles reports whether two token parameters name two accounts.
func twoHandles(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 && (isHandle(a) || isHandle(b)) && !bytes.Equal(a, b)
}

var (
	ampersand = []byte("&")
	equals    = []byte("=")
	semicolon = []byte(";")
)

func paramOf(name []byte) named {
	switch string(name) {
	case routes.AccessToken:
		return namedAccess
	case routes.ComponentAccessToken:
		return namedComponent
	case paramFromAppID:
		return namedFrom
	case paramComponentAppID:
		return namedPlatform
	default:
		return 0
	}
}

// refuseControl refuses encoded control characters: fasthttp has refused the
// raw ones.
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

// hidesParam reports whether piece could be taken for one of our parameters although
// its name is not spelled as one.
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

// decodesToParam reports whether name, decoded up to twice and whatever its case,
// is the name of one of our parameters. Spaces around it and a trailing [] do not count,
// as PHP and others drop them.
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
