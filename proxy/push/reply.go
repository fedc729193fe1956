package push

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
)

// errBadReply is that a reply is not one that WeChat takes.
var errBadReply = errors.New("the reply is not one that WeChat takes")

// replyLimits bound a reply. The longest that WeChat takes are lists of eight articles.
var replyLimits = pushdoc.Limits{Bytes: 64 << 10, Markup: 4096, Depth: 16, JSONTokens: 8192}

// plainReply returns a handler's reply as WeChat takes it: nil for none, else XML, or JSON if
// asJSON. The error wraps errBadReply and shows nothing of it.
func plainReply(reply []byte, asJSON bool) ([]byte, error) {
	reply = bytes.TrimSpace(bytes.TrimPrefix(reply, []byte("\ufeff")))
	if len(reply) == 0 || string(reply) == success.body {
		return nil, nil
	}
	if _, err := pushdoc.Read(reply, nil, replyLimits); err != nil {
		return nil, fmt.Errorf("%w: %w", errBadReply, err)
	}
	switch isJSON := pushdoc.IsJSON(reply); {
	case isJSON == asJSON:
		return bytes.Clone(reply), nil // it is remembered, and the blanks around it are not to be
	case asJSON:
		return nil, fmt.Errorf("%w: the message is JSON and the reply is not", errBadReply)
	default:
		return replyXML(reply)
	}
}

// seal returns the answer that carries a plain reply, encrypted unless codec is nil. Without a
// reply it is success; an empty one stays empty.
func (s *Server) seal(reply []byte, asJSON bool, codec *msgcrypt.Codec, nonce string) answer {
	switch {
	case reply == nil:
		return success
	case len(reply) == 0:
		return answer{status: success.status}
	}
	a := answer{status: success.status, contentType: "text/xml; charset=utf-8"}
	if asJSON {
		a.contentType = "application/json; charset=utf-8"
	}
	if codec == nil {
		a.body = string(reply)
		return a
	}
	envelope, err := codec.Seal(reply, strconv.FormatInt(s.handler.Now().Unix(), 10), nonce)
	if err != nil {
		return success // it is longer than 4 GiB
	}
	if a.body = string(envelope.ReplyXML()); asJSON {
		a.body = string(envelope.ReplyJSON())
	}
	return a
}
