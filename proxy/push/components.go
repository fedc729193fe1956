package push

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// codecs are the codecs of each component, by appid, the current one first. They never
// change once they are in force.
type codecs map[string][]*msgcrypt.Codec

func newCodecs(components []Component) (codecs, error) {
	table := make(codecs, len(components))
	var faults []error
	for _, c := range components {
		if _, twice := table[c.AppID]; twice {
			faults = append(faults, fmt.Errorf("component %s is given twice", c.AppID))
			continue
		}
		list, err := c.codecs()
		if err != nil {
			faults = append(faults, fmt.Errorf("component %s: %w", c.AppID, err))
		}
		table[c.AppID] = list
	}
	return table, errors.Join(faults...)
}

func (c Component) codecs() ([]*msgcrypt.Codec, error) {
	if len(c.Keys) == 0 {
		return nil, errors.New("no push_token and encoding_aes_key")
	}
	tokens, keys := []secret.Text{c.Keys[0].Token}, []secret.Text{c.Keys[0].EncodingAESKey}
	for i, k := range c.Keys {
		token, key := orFirst(k.Token, c.Keys[0].Token), orFirst(k.EncodingAESKey, c.Keys[0].EncodingAESKey)
		if _, err := msgcrypt.New(token.Reveal(), key.Reveal(), c.AppID); err != nil {
			return nil, fmt.Errorf("%s keys: %w", ageOfKey(i), err)
		}
		tokens, keys = appendNew(tokens, token), appendNew(keys, key)
	}
	// Any token goes with any key: they may be changed one after the other, and WeChat
	// does not promise that a change of both takes effect at once.
	var list []*msgcrypt.Codec
	for _, token := range tokens {
		for _, key := range keys {
			codec, err := msgcrypt.New(token.Reveal(), key.Reveal(), c.AppID)
			if err != nil {
				return nil, err
			}
			list = append(list, codec)
		}
	}
	return list, nil
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

// open tries the codecs in turn and returns the index of the one that opened the push. The
// error is that of the codec that came furthest, so that a previous pair does not hide what
// is wrong with the current one.
func open(list []*msgcrypt.Codec, r *request, encrypt string) (plain []byte, used int, err error) {
	err = msgcrypt.ErrSignature
	for i, codec := range list {
		plain, fault := codec.Open(r.msgSignature, r.timestamp, r.nonce, encrypt)
		if fault == nil {
			return plain, i, nil
		}
		if errors.Is(err, msgcrypt.ErrSignature) {
			err = fault
		}
	}
	return nil, 0, err
}
