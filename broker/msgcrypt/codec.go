package msgcrypt

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

const encodedKeySize = 43

// Codec opens pushes and seals replies under one token and one key of one
// component. It is immutable and safe for concurrent use; fmt and slog show its
// appid alone.
type Codec struct {
	token secret.Text
	box   box
	appID string
}

// New returns a codec for the push_token (消息校验Token) and the encoding_aes_key
// (消息加解密Key, 43 characters) of the component appID, as they stand in WeChat's
// console. Its errors name the setting and the form it must have, never a value.
func New(token, encodingAESKey, appID string) (*Codec, error) {
	var faults []error
	if token == "" {
		faults = append(faults, errors.New("push_token is empty: want the 消息校验Token of WeChat's console"))
	}
	if appID == "" {
		faults = append(faults, errors.New("appid is empty: want the component's appid"))
	}
	b, err := boxFromEncodedKey(encodingAESKey)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	return &Codec{token: secret.New(token), box: b, appID: appID}, nil
}

func boxFromEncodedKey(encoded string) (box, error) {
	const want = "want the 43 characters of the 消息加解密Key, each A-Z, a-z, 0-9, + or /"
	if n := len(encoded); n != encodedKeySize {
		return box{}, fmt.Errorf("encoding_aes_key has %d characters: %s", n, want)
	}
	// Not Strict: the last of 43 characters holds two bits more than the key, and
	// the console does not keep them zero.
	key, err := base64.StdEncoding.DecodeString(encoded + "=")
	if err != nil || len(key) != 32 {
		return box{}, fmt.Errorf("encoding_aes_key is not base64: %s", want)
	}
	return newBox(key)
}

// Open verifies and decrypts a push. signature is the parameter msg_signature,
// timestamp and nonce the parameters of those names, all decoded from the query
// but otherwise as received; encrypt is what [ParseEnvelope] returned. The caller
// owns the returned bytes. The error is one of the sentinels of this package; it
// belongs in the log, never in the answer. Open does not judge the timestamp and
// keeps no memory of pushes: replays are the caller's to refuse.
func (c *Codec) Open(signature, timestamp, nonce, encrypt string) ([]byte, error) {
	if !SignedBy(c.token, signature, timestamp, nonce, encrypt) {
		return nil, ErrSignature
	}
	// Go's decoder would skip line breaks.
	if strings.ContainsAny(encrypt, "\r\n") {
		return nil, ErrBase64
	}
	data, err := base64.StdEncoding.DecodeString(encrypt)
	if err != nil {
		return nil, ErrBase64
	}
	plain, err := c.box.decrypt(data)
	if err != nil {
		return nil, err
	}
	message, appID, err := unframe(plain)
	if err != nil {
		return nil, err
	}
	if !sameText(string(appID), c.appID) {
		return nil, ErrAppID
	}
	return message, nil
}

// Seal encrypts and signs plain, with a fresh random prefix. timestamp is in
// seconds since 1970; it and nonce are what the envelope will carry. Seal does not
// keep plain. It fails only on a message of 4 GiB and more.
func (c *Codec) Seal(plain []byte, timestamp, nonce string) (Envelope, error) {
	var prefix [prefixSize]byte
	_, _ = rand.Read(prefix[:]) // it ends the process rather than fail
	return c.SealWithPrefix(prefix, plain, timestamp, nonce)
}

// SealWithPrefix is [Codec.Seal] with a given prefix. It exists to reproduce
// published vectors; a prefix that repeats tells an observer which messages begin
// alike.
func (c *Codec) SealWithPrefix(prefix [16]byte, plain []byte, timestamp, nonce string) (Envelope, error) {
	framed, err := frame(prefix, plain, c.appID)
	if err != nil {
		return Envelope{}, err
	}
	encrypt := base64.StdEncoding.EncodeToString(c.box.encrypt(framed))
	return Envelope{
		Encrypt:      encrypt,
		MsgSignature: Signature(c.token.Reveal(), timestamp, nonce, encrypt),
		TimeStamp:    timestamp,
		Nonce:        nonce,
	}, nil
}

// String names the codec by its appid.
func (c *Codec) String() string {
	if c == nil {
		return "no codec"
	}
	return "codec of " + c.appID
}

// GoString is String, for %#v.
func (c *Codec) GoString() string { return c.String() }

// LogValue is String, for log/slog.
func (c *Codec) LogValue() slog.Value { return slog.StringValue(c.String()) }
