package push

import (
	"errors"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// opened is the text of a push. codec opened it; it is nil in plain mode.
type opened struct {
	text  []byte
	codec *msgcrypt.Codec
}

// open verifies and decrypts body. In plain mode the request's signature, which covers no body,
// was verified before. open ignores encrypt_type, which is not signed.
func (s *Server) open(r *request, to endpoint, body []byte) (opened, *refusal) {
	if to.isPlain() {
		return opened{text: body}, nil
	}
	parse := msgcrypt.ParseEnvelope
	if to.keys.account && r.signed {
		parse = msgcrypt.ParseMixedEnvelope
	}
	encrypt, err := parse(body)
	if err != nil {
		return opened{}, &refusal{cause: msgcrypt.Cause(err), err: err}
	}
	text, used, err := decrypt(to.keys.codecs, r, encrypt)
	if err != nil {
		return opened{}, &refusal{cause: msgcrypt.Cause(err), err: err, hint: keyHint(err)}
	}
	if used > 0 {
		s.log.Info("push came under a previous key", "component", r.component)
	}
	return opened{text: text, codec: to.keys.codecs[used]}, nil
}

// decrypt tries the codecs in turn and returns the index of the one that opened the push. The
// error is that of the codec that came furthest, so that a previous pair does not hide what
// is wrong with the current one.
func decrypt(list []*msgcrypt.Codec, r *request, encrypt string) (plain []byte, used int, err error) {
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

func keyHint(err error) string {
	switch {
	case errors.Is(err, msgcrypt.ErrSignature):
		return "not from WeChat, or push_token differs from WeChat's console"
	case errors.Is(err, msgcrypt.ErrPadding), errors.Is(err, msgcrypt.ErrFrame):
		return "push_token is right; encoding_aes_key may differ from WeChat's console"
	case errors.Is(err, msgcrypt.ErrAppID):
		return "the push is for another component or account; compare the URLs in WeChat's console"
	default:
		return ""
	}
}
