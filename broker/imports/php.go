package imports

import (
	"bytes"
	"strconv"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// phpText reads a text as PHP's serialize writes it (s:3:"abc";), in JSON, or as it is. What PHP
// serializes otherwise is no text.
// https://www.php.net/manual/en/function.serialize.php
func phpText(value []byte) (secret.Text, bool) {
	switch {
	case len(value) == 0:
		return secret.Text{}, true
	case bytes.HasPrefix(value, []byte("s:")):
		return phpString(value[2:])
	case value[0] == '"':
		return jsonText(value)
	case len(value) > 1 && value[1] == ':', value[0] <= ' ', value[0] >= 0x7f, value[0] == '{', value[0] == '[':
		return secret.Text{}, false
	}
	return secret.New(string(value)), true
}

// phpString reads what follows s: in a serialized text.
func phpString(rest []byte) (secret.Text, bool) {
	length, text, ok := bytes.Cut(rest, []byte(`:"`))
	n, err := strconv.Atoi(string(length))
	if !ok || err != nil || n < 0 || n > MaxValueBytes || len(text) != n+len(`";`) || !bytes.HasSuffix(text, []byte(`";`)) {
		return secret.Text{}, false
	}
	return secret.New(string(text[:n])), true
}
