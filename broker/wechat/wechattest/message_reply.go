package wechattest

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// Reply is the passive reply to a message. See
// https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Passive_user_reply_message.html
type Reply struct {
	// Body is what was answered; Document the reply in it, decrypted, and nil if there is none:
	// for an empty answer, or success.
	Body, Document []byte `xml:"-" json:"-"`
	// The fields are those of Document. Content is that of a text.
	ToUserName, FromUserName string
	CreateTime               int64
	MsgType, Content         string
}

// replyEnvelope is an encrypted reply, in XML or JSON.
type replyEnvelope struct {
	Encrypt, MsgSignature string
	TimeStamp             json.Number
	Nonce                 string
}

// readReply reads an answer as WeChat does. The error says why WeChat would not take it for a
// reply to m.
func (to recipient) readReply(body []byte, m Message) (Reply, error) {
	r := Reply{Body: body}
	if text := string(body); text == "" || text == "success" {
		return r, nil
	}
	document, err := to.openReply(body, m.JSON)
	if err == nil {
		err = unmarshal(document, &r, m.JSON)
	}
	r.Document = document
	switch {
	case err != nil:
		return r, fmt.Errorf("read the reply: %w", err)
	case r.ToUserName != m.FromUserName || r.FromUserName != m.ToUserName:
		return r, fmt.Errorf("reply from %q to %q, not from the account %q to the user %q", r.FromUserName, r.ToUserName, m.ToUserName, m.FromUserName)
	case r.MsgType == "" || r.CreateTime == 0:
		return r, errors.New("reply without MsgType or CreateTime")
	}
	return r, nil
}

// openReply returns the plain text of a reply.
func (to recipient) openReply(body []byte, asJSON bool) ([]byte, error) {
	if to.plain {
		return body, nil
	}
	var e replyEnvelope
	if err := unmarshal(body, &e, asJSON); err != nil {
		return nil, err
	}
	codec, err := msgcrypt.New(to.Token, to.EncodingAESKey, to.frameAppID)
	if err != nil {
		return nil, err
	}
	return codec.Open(e.MsgSignature, e.TimeStamp.String(), e.Nonce, e.Encrypt)
}

// unmarshal does not use the program's own parser, so that a slip in that one shows.
func unmarshal(text []byte, v any, asJSON bool) error {
	if asJSON {
		return json.Unmarshal(text, v)
	}
	return xml.Unmarshal(text, v)
}
