package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// secretPrefix begins a secret in the form of Standard Webhooks: the rest is base64.
const secretPrefix = "whsec_"

func signingKey(s secret.Text) ([]byte, error) {
	if s.IsZero() {
		return nil, nil
	}
	encoded, ok := strings.CutPrefix(s.Reveal(), secretPrefix)
	if !ok {
		return []byte(s.Reveal()), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 {
		return nil, errors.New("begins with " + secretPrefix + ", but what follows is not base64")
	}
	return key, nil
}

// sign returns the value of webhook-signature.
func sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
