package authorize

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"sync"
	"time"
)

var (
	errForeign = errors.New("the state is not one of this browser's visit")
	errExpired = errors.New("the state has run out")
	errUsed    = errors.New("the state was used with another auth_code")
)

const (
	browserBytes = 16
	nonceBytes   = 8
	timeBytes    = 8
	macBytes     = 16
	// codeTime is how long after the end of its pre_auth_code a merchant may come back:
	// he may have confirmed in the last moment.
	codeTime = 10 * time.Minute
)

// states issues the states of redirects and takes them back. A state is the time of its
// end, a nonce and what was asked for, and a MAC of them, of the component and of the
// browser's cookie. It is safe for concurrent use.
type states struct {
	keys [][]byte

	mu sync.Mutex
	// spent has the states that came back and have not run out, by their nonces. Limits on
	// what is issued bound it.
	spent   map[[nonceBytes]byte]use
	purgeAt int // the length at which the next purge is due
}

// use is the auth_code with which a state came back, by its hash.
type use struct {
	code    [sha256.Size]byte
	expires time.Time
}

func newStates(keys [][]byte) *states {
	return &states{keys: keys, spent: map[[nonceBytes]byte]use{}, purgeAt: 64}
}

// newBrowser returns the random name of a browser, for its cookie.
func newBrowser() string {
	var b [browserBytes]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// validBrowser reports whether a cookie holds what newBrowser returns.
func validBrowser(text string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(b) == browserBytes
}

// issue returns a state for one visit.
func (s *states) issue(component, browser string, request Request, expires time.Time) string {
	payload := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	payload = append(payload, make([]byte, nonceBytes)...)
	_, _ = rand.Read(payload[timeBytes:]) // it never fails
	payload = append(payload, request.query()...)
	return base64.RawURLEncoding.EncodeToString(append(mac(s.keys[0], component, browser, payload), payload...))
}

func mac(key []byte, component, browser string, payload []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(component + "\x00" + browser + "\x00"))
	h.Write(payload)
	return h.Sum(nil)[:macBytes]
}

// verified is a state that is genuine, and this browser's.
type verified struct {
	nonce   [nonceBytes]byte
	expires time.Time
	request Request
}

// verify returns what a state holds. The error is errForeign, or errExpired for one that was
// this browser's.
func (s *states) verify(component, browser, state string, now time.Time) (verified, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil || len(raw) < macBytes+timeBytes+nonceBytes || !validBrowser(browser) {
		return verified{}, errForeign
	}
	sum, payload := raw[:macBytes], raw[macBytes:]
	genuine := false
	for _, key := range s.keys {
		genuine = hmac.Equal(sum, mac(key, component, browser, payload)) || genuine
	}
	if !genuine {
		return verified{}, errForeign
	}
	request, err := readRequest(string(payload[timeBytes+nonceBytes:]))
	if err != nil { // an earlier version took what this one does not
		return verified{}, errForeign
	}
	v := verified{
		nonce:   [nonceBytes]byte(payload[timeBytes:]),
		expires: time.Unix(int64(binary.BigEndian.Uint64(payload)), 0),
		request: request,
	}
	if !now.Before(v.expires) {
		return v, errExpired
	}
	return v, nil
}

// spend uses a state up for one auth_code. With the same code it may be spent again, since
// people load pages again. Other processes do not know of it; there the cookie, and WeChat,
// to whom a code is good once, still protect.
func (s *states) spend(v verified, code string, now time.Time) error {
	sum := sha256.Sum256([]byte(code))
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, used := s.spent[v.nonce]; used {
		if before.code != sum {
			return errUsed
		}
		return nil
	}
	if len(s.spent) >= s.purgeAt {
		maps.DeleteFunc(s.spent, func(_ [nonceBytes]byte, u use) bool { return !now.Before(u.expires) })
		s.purgeAt = 2*len(s.spent) + 64
	}
	s.spent[v.nonce] = use{code: sum, expires: v.expires}
	return nil
}
