// Package seal keeps the broker's records unreadable and unalterable at rest.
//
// Every record of a store is sealed with AES-256-GCM under a key of 32 bytes that
// never lies in the store itself. A sealed record is an envelope:
//
//	1 byte   format, now 1
//	4 bytes  key id, derived from the key
//	12 bytes nonce, random
//	n bytes  ciphertext
//	16 bytes tag
//
// The format, the record's name and its generation are authenticated with it, so
// that a record which was swapped with another, or relabelled as a newer
// generation, is refused just like one with a flipped bit.
//
// The configured key is only a root: what seals records, what names the key and
// what other purposes use are derived from it with HKDF-SHA256, so that none of
// them gives away another.
//
// A [Keyring] holds a current key, which seals, and a previous one, which still
// opens. To change the key: make the old one the previous, restart, and re-seal
// what is left (package rekey). With random nonces one key is good for 2^32 seals:
// a hundred thousand merchants need some seven years for that many. Change it
// once a year.
//
// The package makes no API promise outside this module.
package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// Overhead is how many bytes longer a sealed record is than its content.
const Overhead = headerSize + 12 + 16

const (
	format     = 1
	idSize     = 4
	headerSize = 1 + idSize
)

var (
	// ErrWrongKey is wrapped by the error of [Keyring.Open] when the record was
	// sealed under a key that is neither the current nor the previous one.
	ErrWrongKey = errors.New("sealed under another key")

	// ErrDamaged is wrapped by the error of [Keyring.Open] when the record is not
	// what was sealed under that name and generation: bits flipped, cut off,
	// swapped or relabelled.
	ErrDamaged = errors.New("the sealed record is damaged")

	// ErrUnknownFormat is wrapped by the error of [Keyring.Open] when the envelope
	// has a format of which this version knows nothing. It is not damage.
	ErrUnknownFormat = errors.New("sealed in an unknown format")
)

// Keyring seals with a current key, and opens with that and a previous one. It is
// immutable and safe for concurrent use.
type Keyring struct {
	current  *key
	previous *key // nil: there is none
}

// New returns a keyring of the two keys, [KeySize] bytes each. A nil previous
// means that there is none. The keyring does not keep the slices.
func New(current, previous []byte) (*Keyring, error) {
	cur, err := newKey(current)
	if err != nil {
		return nil, fmt.Errorf("seal.key_file: %w", err)
	}
	if previous == nil {
		return &Keyring{current: cur}, nil
	}
	prev, err := newKey(previous)
	if err != nil {
		return nil, fmt.Errorf("seal.previous_key_file: %w", err)
	}
	if cur.id == prev.id {
		if bytes.Equal(current, previous) {
			return nil, errors.New("seal.key_file and seal.previous_key_file hold the same key\n" +
				"hint: remove seal.previous_key_file, or make a new key for seal.key_file: openssl rand -hex 32")
		}
		return nil, errors.New("seal.key_file and seal.previous_key_file hold keys with the same id by chance\n" +
			"hint: make another key for seal.key_file: openssl rand -hex 32")
	}
	return &Keyring{current: cur, previous: prev}, nil
}

// CurrentID returns the current key's id in hexadecimal. It may be logged: it
// tells keys apart and says nothing of the key.
func (k *Keyring) CurrentID() string { return hex.EncodeToString(k.current.id[:]) }

// Seal returns plain sealed under the current key as the content of the record of
// that name and generation. The caller owns the result, plain is not kept.
func (k *Keyring) Seal(name string, generation uint64, plain []byte) []byte {
	out := make([]byte, 0, len(plain)+Overhead)
	out = append(out, format)
	out = append(out, k.current.id[:]...)
	return k.current.aead.Seal(out, nil, plain, associated(name, generation))
}

// Open returns the content of a record that was sealed under that name and
// generation, with the current key or the previous one. Its error wraps
// [ErrWrongKey], [ErrDamaged] or [ErrUnknownFormat], and names the record. The
// caller owns the result, sealed is not kept.
func (k *Keyring) Open(name string, generation uint64, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, openError(name, generation, ErrDamaged, fmt.Sprintf("it has %d bytes of at least %d", len(sealed), Overhead))
	}
	body, aad := sealed[headerSize:], associated(name, generation)
	owner := k.owner(sealed)
	if sealed[0] == format && owner != nil {
		plain, err := owner.aead.Open(nil, nil, body, aad)
		if err != nil {
			return nil, openError(name, generation, ErrDamaged, "")
		}
		return plain, nil
	}
	return nil, openError(name, generation, k.blame(sealed, body, aad), "")
}

// blame says what is wrong with an envelope whose head is not one of ours. If the
// body opens all the same, it is the head that was damaged; telling that from a
// wrong key matters, because a wrong key must never cause a repair.
func (k *Keyring) blame(sealed, body, aad []byte) error {
	for _, c := range k.keys() {
		if _, err := c.aead.Open(nil, nil, body, aad); err == nil {
			return ErrDamaged
		}
	}
	if sealed[0] != format {
		return ErrUnknownFormat
	}
	return ErrWrongKey
}

// NeedsReseal reports whether sealed was sealed under the previous key. It does
// not open it.
func (k *Keyring) NeedsReseal(sealed []byte) bool {
	return len(sealed) >= Overhead && k.previous != nil && k.owner(sealed) == k.previous
}

// Derive returns keys of [KeySize] bytes for another purpose: one from the current
// key, then one from the previous if there is one. The same purpose always gives
// the same keys; different purposes give unrelated ones. The caller owns them.
func (k *Keyring) Derive(purpose string) [][]byte {
	var out [][]byte
	for _, c := range k.keys() {
		out = append(out, c.derive("purpose "+purpose, KeySize))
	}
	return out
}

func (k *Keyring) keys() []*key {
	if k.previous == nil {
		return []*key{k.current}
	}
	return []*key{k.current, k.previous}
}

// owner returns the key whose id the envelope carries, nil for neither.
func (k *Keyring) owner(sealed []byte) *key {
	for _, c := range k.keys() {
		if bytes.Equal(sealed[1:headerSize], c.id[:]) {
			return c
		}
	}
	return nil
}

// associated is what is authenticated beside the content. The name comes last, as
// the one part without a fixed length, so that no two records share it.
func associated(name string, generation uint64) []byte {
	aad := make([]byte, 0, 9+len(name))
	aad = append(aad, format)
	aad = binary.BigEndian.AppendUint64(aad, generation)
	return append(aad, name...)
}

func openError(name string, generation uint64, cause error, detail string) error {
	if detail != "" {
		detail = ": " + detail
	}
	return fmt.Errorf("open record %q generation %d: %w%s%s", name, generation, cause, detail, hint(cause))
}

func hint(cause error) string {
	switch {
	case errors.Is(cause, ErrWrongKey):
		return "\nhint: seal.key_file is not the key that this store was written with; " +
			"give the old key back in seal.key_file, or in seal.previous_key_file while you change keys"
	case errors.Is(cause, ErrUnknownFormat):
		return "\nhint: a newer version of wxsidecar wrote it; run that version"
	default:
		return ""
	}
}
