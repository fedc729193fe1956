package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// domain keeps our derived keys apart from those of any other program that is
// given the same file.
const domain = "wxsidecar/1 "

// key is what one configured key gives.
type key struct {
	root []byte // HKDF's pseudorandom key; the configured bytes are not kept
	id   [idSize]byte
	aead cipher.AEAD
}

func newKey(raw []byte) (*key, error) {
	if len(raw) != KeySize {
		return nil, fmt.Errorf("the key has %d bytes, not %d\nhint: make one with: openssl rand -hex 32", len(raw), KeySize)
	}
	root, err := hkdf.Extract(sha256.New, raw, nil)
	if err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	k := &key{root: root}
	copy(k.id[:], k.derive("key id", idSize))
	block, err := aes.NewCipher(k.derive("records", KeySize))
	if err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	k.aead, err = cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	return k, nil
}

// derive returns n bytes for a use. HKDF fails only for more than 255 times 32
// bytes, and no caller asks for more than 32: there is no error to return.
func (k *key) derive(use string, n int) []byte {
	out, err := hkdf.Expand(sha256.New, k.root, domain+use, n)
	if err != nil {
		panic("seal: hkdf refused a short key: " + err.Error())
	}
	return out
}
