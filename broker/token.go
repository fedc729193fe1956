package broker

import (
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// Token is one value that WeChat gave for a key, and its life. What it says is
// immutable, and it is safe for concurrent use; fmt, slog and encoding/json show its
// key and generation, never its value.
type Token struct {
	entry *entry
	value secret.Text
	plain bool // see Plain
	// Generation grows by one with each new value of the key, on whichever
	// replica it was obtained. It never goes back.
	Generation     uint64
	obtained, dies instant
}

// NewToken returns a token of key with that value. The broker makes its own; this
// is for what stands in for a broker in tests.
func NewToken(key Key, value secret.Text, generation uint64, obtained, dies time.Time) *Token {
	return newToken(&entry{key: key}, value, generation, obtained, dies)
}

// tokenAndText is a token and where its text is, which calls read one after the other: with
// many keys each place of its own in memory is a wait for it. Both are 64 bytes, a line of a
// processor's cache. Nobody else has the text, which would show where it is printed.
type tokenAndText struct {
	Token
	text string
}

// newToken returns a token of the key of e. It keeps e, for what calls show of its key.
func newToken(e *entry, value secret.Text, generation uint64, obtained, dies time.Time) *Token {
	t := &tokenAndText{text: value.Reveal()}
	t.Token = Token{
		entry: e, value: secret.At(&t.text), plain: url.QueryEscape(t.text) == t.text, Generation: generation,
		obtained: instantOf(obtained), dies: instantOf(dies),
	}
	return &t.Token
}

// Key returns the key that the token belongs to.
func (t *Token) Key() Key { return t.entry.key }

// Value returns the token's text, as WeChat gave it. It goes to WeChat or, with
// tokens.expose, to the app; nowhere else.
func (t *Token) Value() string { return t.value.Reveal() }

// Plain reports whether the value stands in a query as it is: it has none but the unreserved
// characters of RFC 3986, as all tokens so far.
func (t *Token) Plain() bool { return t.plain }

// Served says that WeChat took the token in an app's call of path; cured, that the
// call had been refused with an older one. It takes no lock and costs no allocation,
// unless that call is remembered as one that WeChat refuses whatever its token.
func (t *Token) Served(path []byte, cured bool) {
	t.entry.calls.served.note(t.Generation)
	t.entry.calls.faulty.succeeded(path, cured)
}

// ObtainedAt returns when the token was obtained, in WeChat's time (see [Broker.Now]).
func (t *Token) ObtainedAt() time.Time { return t.obtained.time() }

// DiesAt returns when the token dies, in WeChat's time. That is computed from expires_in, never
// assumed.
func (t *Token) DiesAt() time.Time { return t.dies.time() }

// Settled reports whether Served would change nothing now: WeChat took the token since it last
// refused it, and no call of its key is remembered as one that it refuses. A call asks when it
// takes the token, and need not look at it again in the end. It may be called on nil.
func (t *Token) Settled() bool {
	return t == nil || t.entry.calls.settled(t.Generation)
}

// Life returns how long the token lives in all.
func (t *Token) Life() time.Duration { return time.Duration(t.dies - t.obtained) }

// Alive reports whether a token exists and has not died at now, which is in
// WeChat's time. It may be called on nil.
func (t *Token) Alive(now time.Time) bool { return t != nil && now.UnixNano() < int64(t.dies) }

// String names the token by its key and generation.
func (t *Token) String() string {
	if t == nil {
		return "none"
	}
	return fmt.Sprintf("%s generation %d", t.entry.key, t.Generation)
}

// GoString is String, for %#v.
func (t *Token) GoString() string { return t.String() }

// LogValue is String, for log/slog.
func (t *Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
