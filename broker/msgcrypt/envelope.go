package msgcrypt

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Envelope is a sealed message with what signs it. As a push, MsgSignature,
// TimeStamp and Nonce travel in the query (msg_signature, timestamp, nonce, beside
// encrypt_type=aes); as a reply they stand in the body.
type Envelope struct {
	Encrypt, MsgSignature, TimeStamp, Nonce string
}

// ReplyXML returns the envelope as the body of a passive reply. TimeStamp is
// written as a bare number.
func (e Envelope) ReplyXML() []byte {
	var b strings.Builder
	b.WriteString("<xml>")
	element(&b, "Encrypt", e.Encrypt)
	element(&b, "MsgSignature", e.MsgSignature)
	b.WriteString("<TimeStamp>" + digits(e.TimeStamp) + "</TimeStamp>")
	element(&b, "Nonce", e.Nonce)
	b.WriteString("</xml>")
	return []byte(b.String())
}

// ReplyJSON returns the envelope as the body of a passive reply to a push in JSON. TimeStamp is
// written as a bare number.
func (e Envelope) ReplyJSON() []byte {
	stamp, _ := strconv.ParseInt(e.TimeStamp, 10, 64) // 0 for what is no time
	body, _ := json.Marshal(struct {                  // texts and a number always can be written
		Encrypt, MsgSignature string
		TimeStamp             int64
		Nonce                 string
	}{e.Encrypt, e.MsgSignature, stamp, e.Nonce})
	return body
}

// PushXML returns the body of an authorization event to the component appID, as
// WeChat sends it.
func (e Envelope) PushXML(appID string) []byte { return e.push("AppId", appID) }

// MessageXML returns the body of a user's message to the account whose original
// id (gh_…) is userName, as WeChat sends it.
func (e Envelope) MessageXML(userName string) []byte { return e.push("ToUserName", userName) }

func (e Envelope) push(name, value string) []byte {
	var b strings.Builder
	b.WriteString("<xml>")
	element(&b, name, value)
	element(&b, "Encrypt", e.Encrypt)
	b.WriteString("</xml>")
	return []byte(b.String())
}

func element(b *strings.Builder, name, value string) {
	// A nonce is echoed and so comes from outside: it must not end the section.
	value = strings.ReplaceAll(value, "]]>", "]]]]><![CDATA[>")
	b.WriteString("<" + name + "><![CDATA[" + value + "]]></" + name + ">")
}

// digits drops whatever could be markup where a bare number belongs.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}
