package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Caller is an app that may call, and what it may call.
type Caller struct {
	// Name is shown in logs and refusals; it must not be empty, nor occur twice.
	Name string
	// KeySHA256 are the SHA-256 of the caller's keys: one, or several while it changes
	// from one to another. The handles given out under each are good while it is here.
	KeySHA256 [][sha256.Size]byte
	// AppIDs are the accounts that it may call for; empty for all.
	AppIDs []string
	// Components are those that it may act through, for their merchants and in their own
	// name; empty for all. Of a merchant's authorizations it means one of these.
	Components []string
	// Allow are the paths that it may call, empty for all; Deny those that it may
	// not, whatever Allow says. A pattern is a path, or a prefix followed by "*".
	// The endpoints that give out handles need no place in Allow; those that give
	// out tokens do (Options.ExposeTokens).
	Allow, Deny []string
}

// caller is a Caller who calls with one of its keys. It never changes.
type caller struct {
	Caller
	key      [sha256.Size]byte // the hash of that key
	counters *oneCaller
}

// callers is the set of callers in force. If it is empty, anybody may call. A change
// replaces the whole set, and with it the cache of verified handles.
type callers struct {
	all     []*caller // each once for each of its keys
	handles handleCache
}

func newCallers(list []Caller) (*callers, error) {
	c := &callers{}
	names, keys := map[string]bool{}, map[[sha256.Size]byte]bool{}
	for i, one := range list {
		if one.Name == "" || names[one.Name] {
			return nil, fmt.Errorf("callers[%d].name %q: must be given, and only once", i, one.Name)
		}
		names[one.Name] = true
		for _, pattern := range slices.Concat(one.Allow, one.Deny) {
			if err := checkPattern(pattern); err != nil {
				return nil, fmt.Errorf("callers[%d] %q: %w", i, one.Name, err)
			}
		}
		if len(one.KeySHA256) == 0 {
			return nil, fmt.Errorf("callers[%d] %q: has no key", i, one.Name)
		}
		for _, key := range one.KeySHA256 {
			if keys[key] {
				return nil, fmt.Errorf("callers[%d] %q: one of its keys occurs twice: each caller needs keys of its own", i, one.Name)
			}
			keys[key] = true
			c.all = append(c.all, &caller{Caller: one, key: key})
		}
	}
	return c, nil
}

func checkPattern(pattern string) error {
	if !strings.HasPrefix(pattern, "/") && pattern != "*" {
		return fmt.Errorf("the path %q must begin with /", pattern)
	}
	if strings.Contains(pattern, "//") {
		return fmt.Errorf("the path %q matches nothing, as empty segments are merged before: write one slash", pattern)
	}
	if i := strings.IndexByte(pattern, '*'); i >= 0 && i != len(pattern)-1 {
		return fmt.Errorf("the path %q may have * only at its end", pattern)
	}
	return nil
}

// byKey returns the caller with this key, or nil. It takes the same time for each caller.
func (c *callers) byKey(key []byte) *caller {
	sum := sha256.Sum256(key)
	var found *caller
	for _, one := range c.all {
		if subtle.ConstantTimeCompare(sum[:], one.key[:]) == 1 {
			found = one
		}
	}
	return found
}

// admit identifies the caller, if callers are configured: by header, by proxy credentials
// or by the handle in the token parameter. It refuses an unknown caller before anything is
// looked up for it, unless later says that the call can still show its key, by the secret
// that it carries or inside a tunnel.
func (c *callers) admit(r *request, later bool) *fault {
	if len(c.all) == 0 {
		return nil
	}
	r.caller = c.find(r)
	switch {
	case r.caller != nil:
		return nil
	case len(r.key) > 0, len(r.credentials) > 0:
		return forbidden("caller_refused", "the key matches no entry in callers: compare its SHA-256 with key_sha256")
	case later:
		return nil
	case r.handle != nil:
		// The app's SDK shows its key when it fetches a new handle.
		return voidHandle()
	default:
		return unknownCaller()
	}
}

// find returns the caller whose key the call has, else the one to whom its handle was
// issued; nil if there is neither.
func (c *callers) find(r *request) *caller {
	switch {
	case len(r.key) > 0:
		return c.byKey(r.key)
	case len(r.credentials) > 0:
		return c.byCredentials(r.credentials)
	case r.handle != nil && !r.handle.void:
		return r.handle.caller
	default:
		return nil
	}
}

// admitBySecret identifies the caller by the secret in a call, if callers are configured
// and the call shows no key otherwise.
func (c *callers) admitBySecret(r *request, secret string) *fault {
	if len(c.all) == 0 || r.caller != nil {
		return nil
	}
	if r.caller = c.byKey([]byte(secret)); r.caller == nil {
		return unknownCaller()
	}
	return nil
}

func unknownCaller() *fault {
	return forbidden("caller_refused", "this sidecar serves only callers that it knows: "+
		"send the key in X-Wxsidecar-Key, as the password of Basic proxy credentials, or as the secret of an SDK")
}

// isKey reports whether text is a caller's key.
func (c *callers) isKey(text string) bool {
	return len(c.all) > 0 && c.byKey([]byte(text)) != nil
}

// byCredentials reads Basic proxy credentials, whose password is the key.
func (c *callers) byCredentials(value []byte) *caller {
	scheme, encoded, _ := bytes.Cut(value, []byte(" "))
	if !equalFold(scheme, "basic") {
		return nil
	}
	var buf [256]byte
	encoded = bytes.TrimSpace(encoded)
	if base64.StdEncoding.DecodedLen(len(encoded)) > len(buf) {
		return nil
	}
	n, err := base64.StdEncoding.Decode(buf[:], encoded)
	if err != nil {
		return nil
	}
	_, key, _ := bytes.Cut(buf[:n], []byte(":"))
	return c.byKey(key)
}

// mayCall refuses a call that its caller may not make. appid is the account that the call
// is for, and component the one that it acts through; each is empty for none.
func (c *callers) mayCall(r *request, appid, component string) *fault {
	if len(c.all) == 0 {
		return nil
	}
	if f := c.notDenied(r, appid, component); f != nil {
		return f
	}
	if len(r.caller.Allow) > 0 && matching(r.caller.Allow, r.path, equalText) < 0 {
		return forbidden("caller_refused", "the caller "+r.caller.Name+" may not call this path: it is not in allow")
	}
	return nil
}

// notDenied is mayCall without the check of Allow.
func (c *callers) notDenied(r *request, appid, component string) *fault {
	if len(c.all) == 0 {
		return nil
	}
	if r.caller == nil {
		return unknownCaller()
	}
	who := "the caller " + r.caller.Name
	// WeChat may ignore the case of letters, so deny does.
	if i := matching(r.caller.Deny, r.path, equalFoldText); i >= 0 {
		return forbidden("caller_refused", who+" may not call this path: deny has "+r.caller.Deny[i])
	}
	if appid != "" && len(r.caller.AppIDs) > 0 && !slices.Contains(r.caller.AppIDs, appid) {
		return forbidden("caller_refused", who+" may not call for the account "+appid+": it is not in appids")
	}
	return r.caller.mayActThrough(component)
}

// mayActThrough refuses a component that c may not act through. A nil caller may act through
// all, and an empty component stands for none.
func (c *caller) mayActThrough(component string) *fault {
	if c == nil || component == "" || len(c.Components) == 0 || slices.Contains(c.Components, component) {
		return nil
	}
	return forbidden("caller_refused", "the caller "+c.Name+" may not act through the component "+component+": it is not in components")
}

// matching returns the index of the first pattern that matches path, or -1; same compares.
// As in the catalogue, a slash at the end of either does not count, unless "*" follows it.
func matching(patterns []string, path []byte, same func([]byte, string) bool) int {
	bare := withoutSlash(path)
	for i, p := range patterns {
		prefix, open := strings.CutSuffix(p, "*")
		switch {
		case open && len(path) >= len(prefix) && same(path[:len(prefix)], prefix):
			return i
		case !open && (same(bare, p) || same(bare, strings.TrimSuffix(p, "/"))):
			return i
		}
	}
	return -1
}

func equalText(b []byte, s string) bool { return string(b) == s }

func equalFoldText(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != lower(s[i]) {
			return false
		}
	}
	return true
}
