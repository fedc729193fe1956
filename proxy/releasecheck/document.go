package releasecheck

import (
	"encoding/json"

	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

var contentOnly = map[string]bool{"Content": true}

// documentLimits are far above what the check writes.
var documentLimits = pushdoc.Limits{Bytes: 64 << 10, Markup: 256, Depth: 8, JSONTokens: 512}

// contentOf returns the text of a message; empty if it is not a text.
func contentOf(m *wechat.Message) (string, error) {
	if m.MsgType != msgText {
		return "", nil
	}
	fields, err := pushdoc.Read(m.Document, contentOnly, documentLimits)
	return fields["Content"], err
}

const msgText = "text"

// text returns a reply to m with a text, in JSON, which becomes XML where m is XML.
func (c *Check) text(m *wechat.Message, content string) []byte {
	reply, _ := json.Marshal(struct { // texts and a number always can be written
		ToUserName, FromUserName string
		CreateTime               int64
		MsgType, Content         string
	}{m.FromUserName, m.ToUserName, c.broker.Now().Unix(), msgText, content})
	return reply
}
