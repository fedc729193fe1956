package imports

import (
	"bytes"
	"encoding/binary"
	"encoding/json"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// javaText reads a text as Java clients write it into Redis: as it is (Jedis, StringRedisTemplate,
// Redisson's StringCodec), in JSON (JsonJacksonCodec), by Java's own serialization
// (SerializationCodec), or by Kryo 5 (Kryo5Codec, Redisson's default today).
func javaText(value []byte) (secret.Text, bool) {
	switch {
	case len(value) == 0:
		return secret.Text{}, true
	case value[0] == '"':
		return jsonText(value)
	case bytes.HasPrefix(value, javaStringHead):
		return javaString(value[len(javaStringHead):])
	case value[0] == kryoString:
		return kryoText(value[1:])
	case value[0] <= ' ' || value[0] >= 0x7f:
		return secret.Text{}, false
	}
	return secret.New(string(value)), true
}

func jsonText(value []byte) (secret.Text, bool) {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return secret.Text{}, false
	}
	return secret.New(text), true
}

// javaStringHead is the stream's magic number and version, and TC_STRING.
// https://docs.oracle.com/en/java/javase/21/docs/specs/serialization/protocol.html
var javaStringHead = []byte{0xac, 0xed, 0, 5, 't'}

func javaString(rest []byte) (secret.Text, bool) {
	if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) != len(rest)-2 {
		return secret.Text{}, false
	}
	return secret.New(string(rest[2:])), true
}

// kryoString is Kryo's number of the class String, the second that it registers, plus two.
const kryoString = 3

// kryoText reads what Kryo's Output.writeString writes of a text in ASCII: one of 2 to 32
// characters has its end marked by the highest bit, another begins with its length and one.
func kryoText(rest []byte) (secret.Text, bool) {
	switch {
	case len(rest) == 0:
		return secret.Text{}, false
	case rest[0]&0x80 == 0:
		if rest[len(rest)-1]&0x80 == 0 || len(rest) > 32 {
			return secret.Text{}, false
		}
		text := bytes.Clone(rest)
		text[len(text)-1] &= 0x7f
		return secret.New(string(text)), true
	}
	n, size := kryoLength(rest)
	if size == 0 || n-1 != len(rest)-size {
		return secret.Text{}, false
	}
	return secret.New(string(rest[size:])), true
}

// kryoLength reads a number whose first byte has six bits of it, a bit that says that there is
// more, and the highest, which is a flag. A size of 0 says that it is none, or too great.
func kryoLength(b []byte) (n, size int) {
	n = int(b[0] & 0x3f)
	if b[0]&0x40 == 0 {
		return n, 1
	}
	for i := 1; i < min(len(b), 3); i++ {
		n |= int(b[i]&0x7f) << (6 + 7*(i-1))
		if b[i]&0x80 == 0 {
			return n, i + 1
		}
	}
	return 0, 0
}
