package msgcrypt

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"slices"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// Signature returns the msg_signature of a push or a reply: the lower-case hex
// SHA-1 of the four texts, sorted by bytes and joined. encrypt is the base64 text
// exactly as it stands in the envelope. With an empty encrypt it is the parameter
// signature, which says nothing about the body.
func Signature(token, timestamp, nonce, encrypt string) string {
	parts := [...]string{token, timestamp, nonce, encrypt}
	slices.Sort(parts[:])
	h := sha1.New() // the protocol fixes SHA-1
	for _, p := range parts {
		_, _ = io.WriteString(h, p) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// SignedBy reports, in constant time, whether signature is the [Signature] of the texts under
// token. With an empty encrypt it says nothing about the body of a push.
func SignedBy(token secret.Text, signature, timestamp, nonce, encrypt string) bool {
	return sameText(signature, Signature(token.Reveal(), timestamp, nonce, encrypt))
}

// sameText compares in a time that depends on the lengths alone.
func sameText(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
