package wechattest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Message is one message or event of an account's user before it is sealed. Empty fields
// are left out of the document. See
// https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html
type Message struct {
	// ToUserName is the account's original id (gh_…), FromUserName the user's openid. Empty
	// ones are made up.
	ToUserName, FromUserName string
	// CreateTime is when the user sent it; zero means now.
	CreateTime time.Time
	// MsgType is as WeChat spells it; empty means event if Event is set, else text.
	MsgType string
	Content string
	// MsgID is MsgId; 0 means a new one. Events have none.
	MsgID uint64
	Event string
	// EventKey is for events.
	EventKey string
	// Extra is XML that is put in as it stands; a message in JSON has none.
	Extra string
	// JSON says that the document is JSON, as mini programs may choose.
	JSON bool

	// encrypt stands beside the plain text in compatible mode.
	encrypt string
}

const (
	msgText  = "text"
	msgEvent = "event"
)

// complete returns m with the fields that were left out. userName is the account's.
func (s *Server) complete(m Message, userName string) Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.ToUserName == "" {
		m.ToUserName = userName
	}
	if m.FromUserName == "" {
		m.FromUserName = s.mint.openID()
	}
	if m.CreateTime.IsZero() {
		m.CreateTime = s.now()
	}
	if m.MsgType == "" {
		m.MsgType = msgText
		if m.Event != "" {
			m.MsgType = msgEvent
		}
	}
	if m.MsgID == 0 && m.MsgType != msgEvent {
		m.MsgID = 1<<53 + s.mint.rng.Uint64N(1<<60)
	}
	return m
}

// document returns the message as WeChat writes it. It must be complete.
func (m Message) document() []byte {
	if m.JSON {
		return m.asJSON()
	}
	var b strings.Builder
	b.WriteString("<xml>")
	cdata(&b, "ToUserName", m.ToUserName)
	cdata(&b, "FromUserName", m.FromUserName)
	fmt.Fprintf(&b, "<CreateTime>%d</CreateTime>", m.CreateTime.Unix())
	cdata(&b, "MsgType", m.MsgType)
	cdata(&b, "Content", m.Content)
	cdata(&b, "Event", m.Event)
	cdata(&b, "EventKey", m.EventKey)
	if m.MsgID != 0 {
		fmt.Fprintf(&b, "<MsgId>%d</MsgId>", m.MsgID)
	}
	b.WriteString(m.Extra)
	cdata(&b, "Encrypt", m.encrypt)
	b.WriteString("</xml>")
	return []byte(b.String())
}

func (m Message) asJSON() []byte {
	body, _ := json.Marshal(struct { // texts and numbers always can be written
		ToUserName, FromUserName string
		CreateTime               int64
		MsgType                  string
		Content                  string `json:",omitempty"`
		Event                    string `json:",omitempty"`
		EventKey                 string `json:",omitempty"`
		MsgID                    uint64 `json:"MsgId,omitempty"`
		Encrypt                  string `json:",omitempty"`
	}{m.ToUserName, m.FromUserName, m.CreateTime.Unix(), m.MsgType, m.Content, m.Event, m.EventKey, m.MsgID, m.encrypt})
	return body
}
