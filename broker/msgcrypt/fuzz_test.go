package msgcrypt_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

func FuzzOpen(f *testing.F) {
	c := newCodec(f, testToken, testKey, testAppID)
	for _, plain := range []string{"", "<xml/>", strings.Repeat("x", 300)} {
		e, err := c.Seal([]byte(plain), testTime, testNonce)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(e.Encrypt, testTime, testNonce)
	}
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, encrypt, timestamp, nonce string) {
		// Signed by who has the token, so that the fuzzer gets past the signature.
		signature := msgcrypt.Signature(testToken, timestamp, nonce, encrypt)
		plain, err := c.Open(signature, timestamp, nonce, encrypt)
		if err != nil {
			if cause := msgcrypt.Cause(err); plain != nil || cause == "other" || cause == "" {
				t.Fatalf("Open = %q, %v", plain, err)
			}
			return
		}
		if len(plain) > base64.StdEncoding.DecodedLen(len(encrypt)) {
			t.Fatalf("%d bytes out of %d characters", len(plain), len(encrypt))
		}
		if _, err := c.Open(signature, timestamp, nonce+"x", encrypt); !errors.Is(err, msgcrypt.ErrSignature) {
			t.Fatalf("Open with another nonce: %v", err)
		}
	})
}

func FuzzParseEnvelope(f *testing.F) {
	for _, seed := range []string{
		"<xml><AppId><![CDATA[wx1]]></AppId><Encrypt><![CDATA[" + sample + "]]></Encrypt></xml>",
		"<?xml version=\"1.0\"?><xml><Encrypt>" + sample + "</Encrypt></xml>",
		`{"ToUserName":"gh_1","Encrypt":"` + sample + `"}`,
		"<!DOCTYPE xml><xml/>", "", "{}", "<xml>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		encrypt, err := msgcrypt.ParseEnvelope(body)
		if err != nil {
			if encrypt != "" || !errors.Is(err, msgcrypt.ErrEnvelope) {
				t.Fatalf("ParseEnvelope = %q, %v", encrypt, err)
			}
			return
		}
		if strings.Trim(encrypt, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != "" {
			t.Fatalf("ParseEnvelope returned characters that base64 does not have: %q", encrypt)
		}
		again, err := msgcrypt.ParseEnvelope(msgcrypt.Envelope{Encrypt: encrypt}.PushXML("wx1"))
		if err != nil || again != encrypt {
			t.Fatalf("written and read again: %q, %v; want %q", again, err, encrypt)
		}
	})
}
