package msgcrypt_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// openssl runs the command of that name. These tests are the only proof against
// an implementation that is not ours, so they never skip.
func openssl(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v (the tests need the openssl command: apt-get install openssl)", args[0], err)
	}
	return out
}

func opensslKeyAndIV(t *testing.T) []string {
	t.Helper()
	key := hex.EncodeToString(openssl(t, []byte(testKey+"=\n"), "base64", "-d"))
	return []string{"-nopad", "-K", key, "-iv", key[:32]}
}

func TestOpenSSL_PushIsAccepted(t *testing.T) {
	const message = "<xml><InfoType><![CDATA[component_verify_ticket]]></InfoType></xml>"
	framed := padTo32(rawFrame(uint32(len(message)), message+testAppID))
	data := openssl(t, framed, append([]string{"enc", "-aes-256-cbc"}, opensslKeyAndIV(t)...)...)
	encrypt := base64.StdEncoding.EncodeToString(data)
	parts := []string{testToken, testTime, testNonce, encrypt}
	slices.Sort(parts)
	signature := strings.Fields(string(openssl(t, []byte(strings.Join(parts, "")), "dgst", "-sha1", "-r")))[0]

	body := "<xml><AppId><![CDATA[" + testAppID + "]]></AppId><Encrypt><![CDATA[" + encrypt + "]]></Encrypt></xml>"
	parsed, err := msgcrypt.ParseEnvelope([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := newCodec(t, testToken, testKey, testAppID).Open(signature, testTime, testNonce, parsed)
	if err != nil || string(plain) != message {
		t.Errorf("Open = %q, %v; want %q", plain, err, message)
	}
}

func TestOpenSSL_ReadsWhatWeSeal(t *testing.T) {
	const message = "<xml>收到</xml>"
	e, err := newCodec(t, testToken, testKey, testAppID).SealWithPrefix([16]byte([]byte("0123456789abcdef")), []byte(message), testTime, testNonce)
	if err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(e.Encrypt)
	if err != nil {
		t.Fatal(err)
	}
	plain := openssl(t, data, append([]string{"enc", "-d", "-aes-256-cbc"}, opensslKeyAndIV(t)...)...)
	if want := padTo32(rawFrame(uint32(len(message)), message+testAppID)); !bytes.Equal(plain, want) {
		t.Errorf("openssl decrypts to %q; want %q", plain, want)
	}
}
