// Package secret holds values that must never be printed: tokens, app secrets,
// tickets, refresh tokens, codes, caller keys.
//
// A [Text] prints as "[redacted]" in every way that fmt, log/slog and
// encoding/json know. It keeps its value behind a pointer, because fmt reads
// unexported fields by reflection, without asking their methods, and would show
// a plain string there.
//
// The package makes no API promise outside this module.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Redacted is what a secret shows of itself.
const Redacted = "[redacted]"

// Text is a secret text. The zero value is the empty secret. Text is immutable
// and safe for concurrent use.
type Text struct{ v *string }

// New returns s as a secret.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{&s}
}

// At returns the text at s as a secret. It takes no memory of its own, and s must never change.
func At(s *string) Text {
	if *s == "" {
		return Text{}
	}
	return Text{s}
}

// Reveal returns the value itself. Call it only where the value leaves for
// WeChat, for the sealed store, or for the app that asked for it.
func (t Text) Reveal() string {
	if t.v == nil {
		return ""
	}
	return *t.v
}

// IsZero reports whether the secret is empty.
func (t Text) IsZero() bool { return t.v == nil }

// Equal compares two secrets in constant time (their lengths apart).
func (t Text) Equal(o Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(o.Reveal())) == 1
}

// String returns [Redacted], or nothing for the empty secret.
func (t Text) String() string {
	if t.IsZero() {
		return ""
	}
	return Redacted
}

// GoString is String, for %#v.
func (t Text) GoString() string { return t.String() }

// Format writes String whatever the verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue is String, for log/slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText writes String, so that no encoder spells a secret by accident.
// Whoever stores a secret stores Reveal, sealed.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes b as the value; it copies b and never fails. It makes a
// Text usable in configuration, where a decoder's error then names only the type.
func (t *Text) UnmarshalText(b []byte) error {
	*t = New(string(b))
	return nil
}
