package push

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// keys verify and decrypt the pushes to one component or own account. They never change once
// they are in force.
type keys struct {
	account bool // they are an own account's
	tokens  []secret.Text
	// codecs has the current one first. It is empty for an account in plain mode.
	codecs []*msgcrypt.Codec
}

// keyTable has the keys by appid.
type keyTable map[string]*keys

func newKeyTable(components []Component, accounts []Account) (keyTable, error) {
	table := make(keyTable, len(components)+len(accounts))
	var faults []error
	add := func(kind, appID string, k *keys, err error) {
		switch _, twice := table[appID]; {
		case twice:
			err = errors.New("the appid is given twice")
		case err == nil:
			table[appID] = k
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", kind, appID, err))
		}
	}
	for _, c := range components {
		k, err := c.keys()
		add("component", c.AppID, k, err)
	}
	for _, a := range accounts {
		k, err := a.keys()
		add("account", a.AppID, k, err)
	}
	return table, errors.Join(faults...)
}

func (a Account) keys() (*keys, error) {
	k := &keys{account: true, tokens: []secret.Text{a.Key.Token}}
	if a.Key.Token.IsZero() {
		return nil, errors.New("no push_token")
	}
	if a.Key.EncodingAESKey.IsZero() {
		return k, nil
	}
	codec, err := msgcrypt.New(a.Key.Token.Reveal(), a.Key.EncodingAESKey.Reveal(), a.AppID)
	k.codecs = []*msgcrypt.Codec{codec}
	return k, err
}

func (c Component) keys() (*keys, error) {
	if len(c.Keys) == 0 {
		return nil, errors.New("no push_token and encoding_aes_key")
	}
	tokens, aesKeys := []secret.Text{c.Keys[0].Token}, []secret.Text{c.Keys[0].EncodingAESKey}
	for i, k := range c.Keys {
		token, key := orFirst(k.Token, c.Keys[0].Token), orFirst(k.EncodingAESKey, c.Keys[0].EncodingAESKey)
		if _, err := msgcrypt.New(token.Reveal(), key.Reveal(), c.AppID); err != nil {
			return nil, fmt.Errorf("%s keys: %w", ageOfKey(i), err)
		}
		tokens, aesKeys = appendNew(tokens, token), appendNew(aesKeys, key)
	}
	// Any token goes with any key: they may be changed one after the other, and WeChat
	// does not promise that a change of both takes effect at once.
	k := &keys{tokens: tokens}
	for _, token := range tokens {
		for _, key := range aesKeys {
			codec, err := msgcrypt.New(token.Reveal(), key.Reveal(), c.AppID)
			if err != nil {
				return nil, err
			}
			k.codecs = append(k.codecs, codec)
		}
	}
	return k, nil
}

// signNothing reports whether one of the request's signatures is valid for an empty body.
// signature covers no body, and msg_signature of an empty body is the same.
func (k *keys) signNothing(r *request) bool {
	return slices.ContainsFunc(k.tokens, func(token secret.Text) bool {
		return msgcrypt.SignedBy(token, r.signature, r.timestamp, r.nonce, "") ||
			msgcrypt.SignedBy(token, r.msgSignature, r.timestamp, r.nonce, "")
	})
}

func appendNew(list []secret.Text, t secret.Text) []secret.Text {
	if slices.ContainsFunc(list, t.Equal) {
		return list
	}
	return append(list, t)
}

func orFirst(t, first secret.Text) secret.Text {
	if t.IsZero() {
		return first
	}
	return t
}

func ageOfKey(i int) string {
	if i == 0 {
		return "current"
	}
	return "previous"
}
