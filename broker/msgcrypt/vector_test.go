package msgcrypt_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// The worked example of WeChat's documentation (see the package's link).
const (
	vectorToken     = "AAAAA"
	vectorComponent = "wx134c8103faa5a59e"
	vectorEncrypt   = "hE8R6mGXHkJJjU72KxzKUd1GEkKJaEZq7vRL8XgK3o+00k8JGq6+pZJUIlTSyhsX+bxIBQ72g3GyvDdIZcr6+3HAZbSvPT9t/o11MI7d6WELwqrGd7jMnV0zv3Zc9Nq7"
	vectorSignature = "03e0812039325c2712ef5f0f980fd14c70d6e307"
	vectorTime      = "1713424427"
	vectorNonce     = "415670741"
	vectorPlain     = "<xml><demo_resp>[CDATA[good luck]]</demo_resp></xml>"
	vectorPrefix    = "999951349e8ee746"
)

var vectorKey = strings.Repeat("A", 43)

func vectorCodec(t testing.TB) *msgcrypt.Codec {
	t.Helper()
	return newCodec(t, vectorToken, vectorKey, vectorComponent)
}

func newCodec(t testing.TB, token, key, appID string) *msgcrypt.Codec {
	t.Helper()
	c, err := msgcrypt.New(token, key, appID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVector_ReplyOpens(t *testing.T) {
	plain, err := vectorCodec(t).Open(vectorSignature, vectorTime, vectorNonce, vectorEncrypt)
	if err != nil || string(plain) != vectorPlain {
		t.Fatalf("Open = %q, %v; want %q", plain, err, vectorPlain)
	}
}

func TestVector_ReplySealsBitByBit(t *testing.T) {
	got, err := vectorCodec(t).SealWithPrefix([16]byte([]byte(vectorPrefix)), []byte(vectorPlain), vectorTime, vectorNonce)
	want := msgcrypt.Envelope{
		Encrypt: vectorEncrypt, MsgSignature: vectorSignature, TimeStamp: vectorTime, Nonce: vectorNonce,
	}
	if err != nil || got != want {
		t.Fatalf("Seal = %+v, %v; want %+v", got, err, want)
	}
	xml := "<xml><Encrypt><![CDATA[" + vectorEncrypt + "]]></Encrypt><MsgSignature><![CDATA[" + vectorSignature +
		"]]></MsgSignature><TimeStamp>" + vectorTime + "</TimeStamp><Nonce><![CDATA[" + vectorNonce + "]]></Nonce></xml>"
	if string(got.ReplyXML()) != xml {
		t.Errorf("ReplyXML = %s; want %s", got.ReplyXML(), xml)
	}
}

// The documentation prints the push's parameters and the measures of its frame,
// not its whole cipher text.
func TestVector_Push(t *testing.T) {
	const timestamp, nonce = "1715943329", "1590219412"
	if got := msgcrypt.Signature(vectorToken, timestamp, nonce, ""); got != "cc0c594499c1634947d5b502f158ee518947db27" {
		t.Errorf("signature of the push = %s", got)
	}
	const length, padding = 292, 22
	e, err := vectorCodec(t).SealWithPrefix([16]byte([]byte("1205899eaf019bbd")), bytes.Repeat([]byte("x"), length), timestamp, nonce)
	if err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(e.Encrypt)
	if want := 16 + 4 + length + len(vectorComponent) + padding; err != nil || len(data) != want {
		t.Errorf("the cipher text has %d bytes, %v; want %d", len(data), err, want)
	}
	if plain, err := vectorCodec(t).Open(e.MsgSignature, timestamp, nonce, e.Encrypt); err != nil || len(plain) != length {
		t.Errorf("Open = %d bytes, %v", len(plain), err)
	}
}
