package proxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"

	"github.com/wxsidecar/wxsidecar/broker"
)

// A handle is what an app gets in place of a token. It names an account, and its MAC
// proves that we issued it: "wxs_<kind letter>_<appid>_<MAC>".
const (
	handlePrefix = "wxs_"
	macBytes     = 24
	macText      = macBytes * 4 / 3
)

// handle is the value of a token parameter that has the form of a handle. It never
// changes.
type handle struct {
	kind broker.Kind
	// appid is the account that it names; empty if it cannot be parsed.
	appid string
	// caller is the one to whom it was issued; nil if no callers are configured.
	caller *caller
	// genuine says that its MAC is valid: we issued it.
	genuine bool
	// void says that it is treated like an expired token.
	void bool
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
// handle is void once the caller no longer has that key.
func mac(key []byte, kind byte, appid string, c *caller) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte{kind, 0})
	h.Write([]byte(appid))
	if c != nil {
		h.Write([]byte{0})
		h.Write(c.key[:])
		h.Write([]byte(c.Name))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:macBytes])
}

// issue returns the handle of an account for a caller.
func (k handleKeys) issue(kind broker.Kind, appid string, c *caller) string {
	letter := kindLetter(kind)
	return handlePrefix + string(letter) + "_" + appid + "_" + mac(k[0], letter, appid, c)
}

// isHandle reports whether a token parameter's value has the prefix of a handle.
func isHandle(value []byte) bool { return bytes.HasPrefix(value, []byte(handlePrefix)) }

// verify parses text, which has the prefix of a handle. It never returns nil. If callers are
// configured, a handle is void unless it was issued under one of the keys for one of them.
// Otherwise it proves no more than a header would, and names its account whatever its MAC.
func (k handleKeys) verify(text []byte, c *callers) *handle {
	if h := c.handles.get(text); h != nil {
		return h
	}
	s := string(text)
	h, given := parseHandle(s)
	owners := c.all
	if len(owners) == 0 {
		owners = []*caller{nil}
	}
	for _, key := range k {
		for _, owner := range owners {
			if given != "" && hmac.Equal([]byte(given), []byte(mac(key, kindLetter(h.kind), h.appid, owner))) {
				h.caller, h.genuine = owner, true
				c.handles.put(s, h)
				return h
			}
		}
	}
	h.void = h.appid == "" || len(c.all) > 0
	return h
}

// parseHandle splits a handle. given is its MAC; empty if it has none of the right length,
// or if a component is named before it, as we issue no such handle.
func parseHandle(s string) (h *handle, given string) {
	h = &handle{}
	rest := strings.TrimPrefix(s, handlePrefix)
	if len(rest) < len("x_") || letterKind(rest[0]) == 0 || rest[1] != '_' {
		return h, ""
	}
	kind, rest := letterKind(rest[0]), rest[2:]
	appid, _, found := strings.Cut(rest, "_")
	if at := len(rest) - macText - 1; at > 0 && rest[at] == '_' {
		// An appid may itself have underscores.
		appid, given = rest[:at], rest[at+1:]
		if account, component, both := strings.Cut(appid, "_wx"); both && component != "" {
			appid, given = account, ""
		}
	}
	if !found || !plausibleAppID(appid) {
		return h, ""
	}
	h.kind, h.appid = kind, appid
	return h, given
}

// handleCache has the handles that were verified, so that a call costs a lookup instead of
// a MAC. It is safe for concurrent use.
type handleCache struct {
	mu sync.RWMutex
	m  map[string]*handle
}

const maxHandles = 1 << 17

func (c *handleCache) get(text []byte) *handle {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.m[string(text)]
}

func (c *handleCache) put(text string, h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxHandles {
		c.m = map[string]*handle{}
	}
	c.m[text] = h
}
