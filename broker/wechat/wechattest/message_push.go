package wechattest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// PushMessage sends a message to the account appID with WeChat's tries: up to three, each of
// which must be answered with status 200 within five seconds. It returns the reply, decrypted, and
// an error where WeChat would tell the user that the account is out of order. Without
// componentAppID it is a message to an own account. It blocks.
func (s *Server) PushMessage(ctx context.Context, componentAppID, appID string, m Message) (Reply, error) {
	to := s.recipientOf(componentAppID, appID)
	m = s.complete(m, to.userName)
	var body []byte
	tries, err := s.tries(ctx, func() (err error) {
		body, err = s.messageOnce(ctx, to, m)
		return err
	})
	var reply Reply
	if err == nil { // what cannot be read is no reason to try again
		reply, err = to.readReply(body, m)
	}
	s.notePush(PushRecord{
		At: s.now(), Component: componentAppID, AppID: appID, MsgType: m.MsgType, Tries: tries, Err: errText(err),
	})
	if err != nil {
		return Reply{}, fmt.Errorf("push %s to %s: try %d: %w", m.MsgType, appID, tries, err)
	}
	return reply, nil
}

// messageOnce sends a complete message once.
func (s *Server) messageOnce(ctx context.Context, to recipient, m Message) ([]byte, error) {
	sealed, err := s.sealMessage(to, m)
	if err != nil {
		return nil, err
	}
	answer, err := s.send(ctx, to.URL, sealed)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("answered with status %d", answer.Status)
	}
	return answer.Body, err
}

// sealMessage signs a complete message as WeChat does, and encrypts it unless to is plain.
func (s *Server) sealMessage(to recipient, m Message) (p SealedPush, err error) {
	if to.plain {
		timestamp, nonce := s.stamp()
		p = SealedPush{Query: signedQuery(to.Token, timestamp, nonce), Body: m.document()}
	} else {
		envelope, err := s.envelope(to.Token, to.EncodingAESKey, to.frameAppID, m.document())
		if err != nil {
			return SealedPush{}, err
		}
		p = sealedPush(to.Token, envelope, to.wrap(m, envelope))
	}
	p.Query.Set("openid", m.FromUserName)
	return p, nil
}

// wrap returns the body that carries what was encrypted.
func (to recipient) wrap(m Message, e msgcrypt.Envelope) []byte {
	switch {
	case to.Compatible:
		m.encrypt = e.Encrypt
		return m.document()
	case m.JSON:
		body, _ := json.Marshal(struct{ ToUserName, Encrypt string }{m.ToUserName, e.Encrypt}) // texts always can be written
		return body
	default:
		return e.MessageXML(m.ToUserName)
	}
}
