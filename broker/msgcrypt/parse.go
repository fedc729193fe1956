package msgcrypt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
)

// MaxEnvelope is the longest body in bytes that [ParseEnvelope] reads.
const MaxEnvelope = 1 << 20

// encryptOnly is the one element of an envelope that is read.
var encryptOnly = map[string]bool{"Encrypt": true}

// envelopeLimits bound a body that nobody has authenticated yet. A genuine
// envelope has two elements in a root, and no attribute.
var envelopeLimits = pushdoc.Limits{Bytes: MaxEnvelope, Markup: 64, Depth: 8, JSONTokens: 256, TextOnly: true}

// ParseEnvelope returns the text of Encrypt in the body of a push: XML, as
// third-party platforms get it, or JSON. It reads what anybody may send, so it
// takes only what WeChat writes: UTF-8, no document type,
// entities, comments or processing instructions, exactly one Encrypt, right below
// the root, in one piece of base64 characters. White space around it is dropped.
//
// Every error wraps [ErrEnvelope] and shows nothing of the body. An empty body is
// such an error too.
func ParseEnvelope(body []byte) (string, error) {
	encrypt, err := parseEnvelope(body)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return encrypt, nil
}

func parseEnvelope(body []byte) (string, error) {
	fields, err := pushdoc.Read(body, encryptOnly, envelopeLimits)
	if err != nil {
		return "", err
	}
	return checkEncrypt(fields["Encrypt"])
}

func checkEncrypt(encrypt string) (string, error) {
	if encrypt == "" {
		return "", errors.New("no Encrypt in it, or an empty one")
	}
	digits := strings.TrimSuffix(strings.TrimSuffix(encrypt, "="), "=")
	for _, c := range []byte(digits) {
		if !isBase64(c) {
			return "", errors.New("an Encrypt that is not base64")
		}
	}
	return encrypt, nil
}

func isBase64(c byte) bool {
	switch {
	case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return true
	default:
		return c == '+' || c == '/'
	}
}
