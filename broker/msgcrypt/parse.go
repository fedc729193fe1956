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

// mixedLimits are as wide as those of a decrypted push.
var mixedLimits = pushdoc.Limits{Bytes: MaxEnvelope, Markup: 16384, Depth: 16, JSONTokens: 32768}

// ParseEnvelope returns the text of Encrypt in the body of a push: XML, as
// third-party platforms get it, or JSON. It reads what anybody may send, so it
// takes only what WeChat writes: UTF-8, no document type,
// entities, comments or processing instructions, exactly one Encrypt, right below
// the root, in one piece of base64 characters. White space around it is dropped.
//
// Every error wraps [ErrEnvelope] and shows nothing of the body. An empty body is
// such an error too.
func ParseEnvelope(body []byte) (string, error) { return readEnvelope(body, envelopeLimits) }

// ParseMixedEnvelope is [ParseEnvelope] for the body of a push to an account in compatible mode
// (兼容模式). It has the message in plain text beside Encrypt, so any text, XML's own entities
// included, and more elements are allowed there. Whoever calls it has verified the parameter
// signature, so that the body is from WeChat, if it is not a replay.
func ParseMixedEnvelope(body []byte) (string, error) { return readEnvelope(body, mixedLimits) }

func readEnvelope(body []byte, l pushdoc.Limits) (string, error) {
	encrypt, err := parseEnvelope(body, l)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return encrypt, nil
}

func parseEnvelope(body []byte, l pushdoc.Limits) (string, error) {
	fields, err := pushdoc.Read(body, encryptOnly, l)
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
