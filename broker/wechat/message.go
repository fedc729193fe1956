package wechat

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/pushdoc"
)

// MsgEvent is the MsgType of events.
const MsgEvent = "event"

// Message is one message or event of an account's user, decrypted and verified.
type Message struct {
	// ID is the same for a repeat of the same message, and for nothing else.
	ID string
	// Component is the appid of the component that the message came through; "" for an own
	// account.
	Component string
	// AppID is the account that the message is for.
	AppID string
	// MsgType is as WeChat spells it. Event is set where that is event, unless it is not a
	// name of letters, digits, - and _.
	MsgType, Event string
	// FromUserName is the user's openid, ToUserName the account's original id (gh_…). MsgID is
	// MsgId. Each may be empty.
	FromUserName, ToUserName, MsgID string
	// CreateTime is zero where it is missing or odd.
	CreateTime time.Time
	// Document is all that WeChat wrote: XML, or JSON if IsJSON. Characters that XML forbids
	// are replaced in it, as a user's text may have them and no parser takes them.
	Document []byte
	IsJSON   bool
}

// messageFields are the elements right below the root that are read.
var messageFields = map[string]bool{
	"MsgType": true, "Event": true, "FromUserName": true, "ToUserName": true, "MsgId": true, "CreateTime": true,
}

// ParseMessage reads the text of a message for appID, in XML or JSON. component is the one that
// it came through, or "". document must have been verified before; even so the reading is as
// strict as that of [ParsePush]. ParseMessage keeps document and may change it. An error names
// what is wrong and in which element, and shows nothing of the content.
//
// See https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html
func ParseMessage(component, appID string, document []byte) (Message, error) {
	document = replaceForbidden(document)
	read, err := pushdoc.Read(document, messageFields, pushLimits)
	f := fields(read)
	if err == nil {
		err = f.name("MsgType")
	}
	if err != nil {
		return Message{}, fmt.Errorf("parse message: %w", err)
	}
	m := Message{
		Component: component, AppID: appID, MsgType: f["MsgType"],
		FromUserName: f["FromUserName"], ToUserName: f["ToUserName"], MsgID: f["MsgId"],
		Document: document, IsJSON: pushdoc.IsJSON(document),
	}
	if m.MsgType == MsgEvent && f.name("Event") == nil {
		m.Event = f["Event"]
	}
	if created, err := f.time("CreateTime"); err == nil {
		m.CreateTime = created
	}
	m.ID = m.id()
	return m, nil
}

// id goes by MsgId. Events have none. Of those FromUserName, CreateTime and Event alone would
// not tell two results apart that WeChat sends in one second, so all that it wrote counts.
func (m *Message) id() string {
	what := "document " + string(m.Document)
	if m.MsgID != "" && m.MsgType != MsgEvent {
		what = "message " + m.MsgID
	}
	sum := sha256.Sum256([]byte(m.Component + " " + m.AppID + " " + what))
	return hex.EncodeToString(sum[:16])
}

// replaceForbidden returns document with U+FFFD for each character that XML 1.0 has not.
func replaceForbidden(document []byte) []byte {
	if !bytes.ContainsFunc(document, isForbidden) {
		return document
	}
	return bytes.Map(func(r rune) rune {
		if isForbidden(r) {
			return '\ufffd'
		}
		return r
	}, document)
}

// isForbidden also holds for U+FFFD, which stands for bytes that are no UTF-8.
func isForbidden(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0xfffd && r <= 0xffff
}
