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

// A handle is what an app gets in place of a token: it names an account, and
// proves that we gave it out. "wxs_<kind letter>_<appid>_<MAC>".
const (
	handlePrefix = "wxs_"
	macBytes     = 24
	macText      = macBytes * 4 / 3
)

// handle is one that was found good. It never changes.
type handle struct {
	kind   broker.Kind
	appid  string
	caller *caller // whom it was given to; nil where no callers were configured
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

// handleKeys are the keys of handles: the first makes them, all read them.
type handleKeys [][]byte

// mac is bound to the caller by its name and the hash of its key, so that a
// handle is void when the caller's key changes.
func mac(key []byte, kind byte, appid string, c *caller) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte{kind, 0})
	h.Write([]byte(appid))
	if c != nil {
		h.Write([]byte{0})
		h.Write(c.KeySHA256[:])
		h.Write([]byte(c.Name))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:macBytes])
}

// make returns the handle of an account for a caller.
func (k handleKeys) make(kind broker.Kind, appid string, c *caller) string {
	letter := kindLetter(kind)
	return handlePrefix + string(letter) + "_" + appid + "_" + mac(k[0], letter, appid, c)
}

// isHandle reports whether a token parameter's value claims to be a handle.
func isHandle(value []byte) bool { return bytes.HasPrefix(value, []byte(handlePrefix)) }

// read returns the handle that text is, or nil if it was not made with one of the
// keys for one of the callers in force.
func (k handleKeys) read(text []byte, c *callers) *handle {
	if h := c.handles.get(text); h != nil {
		return h
	}
	s := string(text)
	rest := strings.TrimPrefix(s, handlePrefix)
	if len(rest) < len("x__")+macText || rest[1] != '_' {
		return nil
	}
	letter, rest := rest[0], rest[2:]
	at := len(rest) - macText - 1
	if letterKind(letter) == 0 || at < 1 || rest[at] != '_' {
		return nil
	}
	appid, given := rest[:at], rest[at+1:]
	owners := c.all
	if len(owners) == 0 {
		owners = []*caller{nil}
	}
	for _, key := range k {
		for _, owner := range owners {
			if hmac.Equal([]byte(given), []byte(mac(key, letter, appid, owner))) {
				h := &handle{kind: letterKind(letter), appid: appid, caller: owner}
				c.handles.put(s, h)
				return h
			}
		}
	}
	return nil
}

// handleCache remembers handles that were found good, so that a call costs a
// look-up and no MAC.
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
