package msgcrypt_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

const (
	testToken = "spamtest-token"
	testKey   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	testAppID = "wx7f00c0de00000001"
	testTime  = "1700000000"
	testNonce = "77777"
)

// rawEncrypt encrypts a padded frame by the standard library alone, so that a
// test can make what Seal never would.
func rawEncrypt(t testing.TB, padded []byte) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(testKey + "=")
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, key[:16]).CryptBlocks(out, padded)
	return base64.StdEncoding.EncodeToString(out)
}

func rawFrame(length uint32, rest string) []byte {
	f := binary.BigEndian.AppendUint32([]byte("0123456789abcdef"), length)
	return append(f, rest...)
}

func rawPad(b []byte, n int) []byte {
	return append(b, strings.Repeat(string(rune(n)), n)...)
}

func padTo32(b []byte) []byte { return rawPad(b, 32-len(b)%32) }

func openSigned(t testing.TB, encrypt string) ([]byte, error) {
	t.Helper()
	c := newCodec(t, testToken, testKey, testAppID)
	return c.Open(msgcrypt.Signature(testToken, testTime, testNonce, encrypt), testTime, testNonce, encrypt)
}

func TestOpen_Refuses(t *testing.T) {
	blocks := func(last ...byte) []byte { return append([]byte(strings.Repeat("x", 64-len(last))), last...) }
	long := uint32(3 + len(testAppID))
	tests := []struct {
		name, encrypt string
		want          error
		cause         string
	}{
		{"not base64", "****", msgcrypt.ErrBase64, "not_base64"},
		{"line break", "QUFB\nQUFB", msgcrypt.ErrBase64, "not_base64"},
		{"empty", "", msgcrypt.ErrLength, "truncated"},
		{"half a block", base64.StdEncoding.EncodeToString(make([]byte, 24)), msgcrypt.ErrLength, "truncated"},
		{"padding 0", rawEncrypt(t, blocks(0)), msgcrypt.ErrPadding, "padding"},
		{"padding 33", rawEncrypt(t, padUnequal(64, 33)), msgcrypt.ErrPadding, "padding"},
		{"padding 255", rawEncrypt(t, blocks(255)), msgcrypt.ErrPadding, "padding"},
		{"padding unequal", rawEncrypt(t, blocks(2, 3, 3)), msgcrypt.ErrPadding, "padding"},
		{"padding longer than all", rawEncrypt(t, padUnequal(16, 17)), msgcrypt.ErrPadding, "padding"},
		{"only padding", rawEncrypt(t, rawPad(nil, 32)), msgcrypt.ErrFrame, "frame"},
		{"no length", rawEncrypt(t, rawPad([]byte("0123456789abcdefabc"), 13)), msgcrypt.ErrFrame, "frame"},
		{"length beyond the end", rawEncrypt(t, padTo32(rawFrame(long+1, "abc"+testAppID))), msgcrypt.ErrFrame, "frame"},
		{"length negative", rawEncrypt(t, padTo32(rawFrame(1<<32-1, "abc"+testAppID))), msgcrypt.ErrFrame, "frame"},
		{"length takes the appid", rawEncrypt(t, padTo32(rawFrame(long, "abc"+testAppID))), msgcrypt.ErrAppID, "foreign_appid"},
		{"foreign appid", rawEncrypt(t, padTo32(rawFrame(3, "abcwx7f00c0de00000002"))), msgcrypt.ErrAppID, "foreign_appid"},
		{"appid and more", rawEncrypt(t, padTo32(rawFrame(3, "abc"+testAppID+"x"))), msgcrypt.ErrAppID, "foreign_appid"},
	}
	for _, tt := range tests {
		plain, err := openSigned(t, tt.encrypt)
		if plain != nil || !errors.Is(err, tt.want) || msgcrypt.Cause(err) != tt.cause {
			t.Errorf("%s: Open = %q, %v (cause %q); want %v", tt.name, plain, err, msgcrypt.Cause(err), tt.want)
		}
	}
}

func padUnequal(size, n int) []byte {
	return []byte(strings.Repeat(string(rune(n)), size))
}

func TestOpen_Accepts(t *testing.T) {
	f := func(name string, padded []byte, want string) {
		t.Helper()
		plain, err := openSigned(t, rawEncrypt(t, padded))
		if err != nil || string(plain) != want {
			t.Errorf("%s: Open = %q, %v; want %q", name, plain, err, want)
		}
	}
	f("an empty message", padTo32(rawFrame(0, testAppID)), "")
	f("padding 32", rawPad(rawFrame(26, strings.Repeat("m", 26)+testAppID), 32), strings.Repeat("m", 26))
	f("padding 1", rawPad(rawFrame(25, strings.Repeat("m", 25)+testAppID), 1), strings.Repeat("m", 25))
	f("whole blocks of AES only", rawPad(rawFrame(3, "abc"+testAppID), 7), "abc")
}

func TestOpen_SignatureCoversAll(t *testing.T) {
	c := newCodec(t, testToken, testKey, testAppID)
	e, err := c.Seal([]byte("<xml/>"), testTime, testNonce)
	if err != nil {
		t.Fatal(err)
	}
	f := func(name, signature, timestamp, nonce, encrypt string) {
		t.Helper()
		if _, err := c.Open(signature, timestamp, nonce, encrypt); !errors.Is(err, msgcrypt.ErrSignature) {
			t.Errorf("%s: Open: %v; want ErrSignature", name, err)
		}
	}
	flipped := "A" + e.Encrypt[1:]
	if flipped == e.Encrypt {
		flipped = "B" + e.Encrypt[1:]
	}
	f("empty", "", testTime, testNonce, e.Encrypt)
	f("upper case", strings.ToUpper(e.MsgSignature), testTime, testNonce, e.Encrypt)
	f("the parameter signature", msgcrypt.Signature(testToken, testTime, testNonce, ""), testTime, testNonce, e.Encrypt)
	f("no token", msgcrypt.Signature("", testTime, testNonce, e.Encrypt), testTime, testNonce, e.Encrypt)
	f("other time", e.MsgSignature, "1700000001", testNonce, e.Encrypt)
	f("other nonce", e.MsgSignature, testTime, "77778", e.Encrypt)
	f("other body", e.MsgSignature, testTime, testNonce, flipped)
}

func TestSignedBy(t *testing.T) {
	f := func(want bool, token, timestamp, nonce, encrypt string) {
		t.Helper()
		signature := msgcrypt.Signature(testToken, testTime, testNonce, "")
		if got := msgcrypt.SignedBy(secret.New(token), signature, timestamp, nonce, encrypt); got != want {
			t.Errorf("SignedBy(%s, %s, %s, %s) = %t", token, timestamp, nonce, encrypt, got)
		}
	}
	f(true, testToken, testTime, testNonce, "")
	f(false, "another", testTime, testNonce, "")
	f(false, testToken, "1", testNonce, "")
	f(false, testToken, testTime, "1", "")
	f(false, testToken, testTime, testNonce, "x")
	if msgcrypt.SignedBy(secret.New(testToken), "", testTime, testNonce, "") {
		t.Error("no signature is one")
	}
}

func TestNew_Faults(t *testing.T) {
	f := func(token, key, appID string, want ...string) {
		t.Helper()
		_, err := msgcrypt.New(token, key, appID)
		if err == nil {
			t.Fatalf("New(%q, %q, %q) succeeded", token, key, appID)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("New: %q does not say %q", err, w)
			}
		}
		if len(key) > 3 && strings.Contains(err.Error(), key) {
			t.Errorf("New: %q shows the key", err)
		}
	}
	f("", testKey, testAppID, "push_token", "消息校验Token")
	f(testToken, testKey, "", "appid")
	f(testToken, testKey[:42], testAppID, "encoding_aes_key has 42 characters", "43")
	f(testToken, testKey+"=", testAppID, "encoding_aes_key has 44 characters", "43")
	f(testToken, strings.Repeat("*", 43), testAppID, "encoding_aes_key is not base64")
	f("", "", "", "push_token", "encoding_aes_key", "appid")
	if _, err := msgcrypt.New(testToken, strings.Repeat("A", 42)+"B", testAppID); err != nil {
		t.Errorf("New refuses a key with stray bits in its last character: %v", err)
	}
}

func TestCodec_PrintsNoSecret(t *testing.T) {
	c := newCodec(t, testToken, testKey, testAppID)
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "codec", c)
	key, _ := base64.StdEncoding.DecodeString(testKey + "=")
	holder := struct{ c *msgcrypt.Codec }{c}
	for _, text := range []string{logged.String(), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), fmt.Sprintf("%+v %#v %+v", *c, *c, holder)} {
		for _, s := range []string{testToken, testKey, string(key[:8]), fmt.Sprintf("%d %d %d", key[0], key[1], key[2]), fmt.Sprintf("%#x, %#x", key[0], key[1])} {
			if strings.Contains(text, s) {
				t.Errorf("%q shows a secret", text)
			}
		}
	}
}

func TestCause_Others(t *testing.T) {
	if got := msgcrypt.Cause(nil); got != "" {
		t.Errorf("Cause(nil) = %q", got)
	}
	if got := msgcrypt.Cause(errors.New("x")); got != "other" {
		t.Errorf("Cause of another error = %q", got)
	}
	if got := msgcrypt.Cause(fmt.Errorf("x: %w", msgcrypt.ErrFrame)); got != "frame" {
		t.Errorf("Cause of a wrapped error = %q", got)
	}
}

func TestSeal_RoundTrip(t *testing.T) {
	c := newCodec(t, testToken, testKey, testAppID)
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "plain")
		timestamp, nonce := rapid.StringMatching(`[0-9]{1,10}`).Draw(t, "timestamp"), rapid.String().Draw(t, "nonce")
		e, err := c.Seal(plain, timestamp, nonce)
		if err != nil {
			t.Fatal(err)
		}
		encrypt, err := msgcrypt.ParseEnvelope(e.PushXML(testAppID))
		if err != nil || encrypt != e.Encrypt {
			t.Fatalf("ParseEnvelope = %q, %v", encrypt, err)
		}
		got, err := c.Open(e.MsgSignature, timestamp, nonce, encrypt)
		if err != nil || string(got) != string(plain) {
			t.Fatalf("Open = %x, %v; want %x", got, err, plain)
		}
		if e.Encrypt == mustSeal(t, c, plain).Encrypt {
			t.Fatal("two seals of one message are equal")
		}
	})
}

func mustSeal(t *rapid.T, c *msgcrypt.Codec, plain []byte) msgcrypt.Envelope {
	e, err := c.Seal(plain, testTime, testNonce)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A change of any bit that is signed again by somebody who has the token, but not
// the key, must never panic nor give the appid of another component away.
func TestOpen_FlippedBits(t *testing.T) {
	c := newCodec(t, testToken, testKey, testAppID)
	rapid.Check(t, func(t *rapid.T) {
		e := mustSeal(t, c, []byte("<xml><InfoType>unauthorized</InfoType></xml>"))
		data, err := base64.StdEncoding.DecodeString(e.Encrypt)
		if err != nil {
			t.Fatal(err)
		}
		bit := rapid.IntRange(0, len(data)*8-1).Draw(t, "bit")
		data[bit/8] ^= 1 << (bit % 8)
		encrypt := base64.StdEncoding.EncodeToString(data)
		if _, err := c.Open(e.MsgSignature, testTime, testNonce, encrypt); !errors.Is(err, msgcrypt.ErrSignature) {
			t.Fatalf("Open of a changed body: %v", err)
		}
		signed := msgcrypt.Signature(testToken, testTime, testNonce, encrypt)
		if _, err := c.Open(signed, testTime, testNonce, encrypt); err != nil && msgcrypt.Cause(err) == "other" {
			t.Fatalf("Open: %v has no cause of its own", err)
		}
	})
}
