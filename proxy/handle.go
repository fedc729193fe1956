package proxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker"
)

// A handle is what an app gets in place of a token. It names an account, and its MAC
// proves that we issued it: "wxs_<kind letter>_<appid>_<MAC>", or
// "wxs_a_<appid>_<component>_<MAC>" for an authorizer. One without a component is of an
// earlier version, and names the authorizer alone.
const (
	handlePrefix = "wxs_"
	macBytes     = 24
	macText      = macBytes * 4 / 3
)

// handle is the value of a token parameter that has the form of a handle. It never changes, once
// others have it.
type handle struct {
	text   [longestKept]byte // its text, of that length, while a handleCache has it
	length uint8
	// kind, appID and component are the key of the account's token; zero if the handle cannot be
	// parsed.
	kind             broker.Kind
	genuine          bool // its MAC is valid: we issued it
	void             bool // it is treated like an expired token
	appID, component string
	// caller is the one to whom it was issued; nil if no callers are configured.
	caller *caller
}

func (h *handle) key() broker.Key {
	return broker.Key{Kind: h.kind, AppID: h.appID, Component: h.component}
}

func kindLetter(k broker.Kind) byte {
	switch k {
	case broker.KindComponent:
		return 'c'
	case broker.KindAuthorizer:
		return 'a'
	default:
		return 'o'
	}
}

func letterKind(c byte) broker.Kind {
	switch c {
	case 'c':
		return broker.KindComponent
	case 'a':
		return broker.KindAuthorizer
	case 'o':
		return broker.KindAccount
	default:
		return 0
	}
}

// handleKeys are the keys of handles. The first issues handles, all of them verify.
type handleKeys [][]byte

// mac covers the caller's name and the hash of the key with which it called, so that a
// handle is void once the caller no longer has that key. A component stands behind a
// slash, which no appid has.
func mac(key []byte, of broker.Key, c *caller) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte{kindLetter(of.Kind), 0})
	h.Write([]byte(of.AppID))
	if of.Component != "" {
		h.Write([]byte("/" + of.Component))
	}
	if c != nil {
		h.Write([]byte{0})
		h.Write(c.key[:])
		h.Write([]byte(c.Name))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:macBytes])
}

// appIDIn returns where text, which parsed to h, has the appid; nil where h has none.
func (h *handle) appIDIn(text []byte) []byte {
	if h.appID == "" {
		return nil
	}
	return text[len(handlePrefix)+len("a_"):][:len(h.appID)]
}

// issue returns the handle for a caller of the account whose token's key is of.
func (k handleKeys) issue(of broker.Key, c *caller) string {
	name := handlePrefix + string(kindLetter(of.Kind)) + "_" + of.AppID + "_"
	if of.Component != "" {
		name += of.Component + "_"
	}
	return name + mac(k[0], of, c)
}

// isHandle reports whether a token parameter's value has the prefix of a handle.
func isHandle(value []byte) bool { return bytes.HasPrefix(value, []byte(handlePrefix)) }

// verify parses text, which has the prefix of a handle. It never returns nil. If callers are
// configured, a handle is void unless it was issued under one of the keys for one of them.
// Otherwise it proves no more than a header would, and names its account whatever its MAC.
// components are those that are configured.
func (k handleKeys) verify(text []byte, c *callers, components []string) *handle {
	h := &handle{}
	given := h.parse(string(text))
	h.appID = strings.Clone(h.appID) // the rest of the text is let go, of whatever length, where others keep the appid
	if i := slices.Index(components, h.component); i >= 0 {
		h.component = components[i] // each call compares it with that
	}
	owners := c.all
	if len(owners) == 0 {
		owners = []*caller{nil}
	}
	for _, key := range k {
		for _, owner := range owners {
			if given != "" && hmac.Equal([]byte(given), []byte(mac(key, h.key(), owner))) {
				h.caller, h.genuine = owner, true
				return h
			}
		}
	}
	h.void = h.appID == "" || len(c.all) > 0
	return h
}

// parse splits a handle into h. given is its MAC; empty if it has none of the right length.
func (h *handle) parse(s string) (given string) {
	rest := strings.TrimPrefix(s, handlePrefix)
	if len(rest) < len("x_") || letterKind(rest[0]) == 0 || rest[1] != '_' {
		return ""
	}
	kind, rest := letterKind(rest[0]), rest[2:]
	name := ""
	if at := len(rest) - macText - 1; at > 0 && rest[at] == '_' {
		name, given = rest[:at], rest[at+1:] // an appid may itself have underscores
	} else {
		name = beforeMAC(rest)
	}
	key := splitAccount(name)
	if !plausibleAppID(key.AppID) || key.Component != "" && kind != broker.KindAuthorizer {
		return ""
	}
	h.kind, h.appID, h.component = kind, key.AppID, key.Component
	return given
}

// beforeMAC returns what stands before a MAC of the wrong length; empty if there is none.
func beforeMAC(rest string) string {
	name, rest, found := strings.Cut(rest, "_")
	if !found {
		return ""
	}
	if component, _, found := strings.Cut(rest, "_"); found && isAppID(component) {
		name += "_" + component
	}
	return name
}

// splitAccount splits "<appid>_<component>"; without a component it is the appid.
func splitAccount(name string) broker.Key {
	if at := len(name) - appIDLength - 1; at > 0 && name[at] == '_' && isAppID(name[at+1:]) {
		return broker.Key{AppID: name[:at], Component: name[at+1:]}
	}
	return broker.Key{AppID: name}
}
