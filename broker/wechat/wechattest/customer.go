package wechattest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// CustomerMessage is what an account sent to a user through
// https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html
type CustomerMessage struct {
	At time.Time
	// AppID is the account that sent it; Component the one by whose token, empty for an own
	// account.
	AppID, Component string
	ToUser, MsgType  string
	// Content is that of a text.
	Content string
}

// customerMessages are the messages that users got, the last ones.
type customerMessages struct {
	sent []CustomerMessage
	more chan struct{} // closed and replaced when one is added
}

// customSend is WeChat's /cgi-bin/message/custom/send.
func (s *Server) customSend(c *call) reply {
	m := CustomerMessage{At: c.now, AppID: c.token.key.appID, Component: c.token.key.component}
	if !c.texts(map[string]*string{"touser": &m.ToUser, "msgtype": &m.MsgType}) {
		return s.refuse(codeBadData)
	}
	if m.ToUser == "" {
		return s.refuse(codeBadOpenID)
	}
	if m.MsgType == "" || c.fields[m.MsgType] == nil {
		return s.refuse(codeBadMessageType)
	}
	if m.MsgType == msgText {
		var text struct{ Content string }
		if json.Unmarshal(c.fields[msgText], &text) != nil {
			return s.refuse(codeBadData)
		}
		m.Content = text.Content
	}
	s.customers.add(m)
	return ok()
}

func (l *customerMessages) add(m CustomerMessage) {
	if len(l.sent) >= maxPushes {
		l.sent = append(l.sent[:0], l.sent[maxPushes/2:]...)
	}
	l.sent = append(l.sent, m)
	close(l.more)
	l.more = make(chan struct{})
}

// AwaitCustomerMessage returns the first customer message that user got, or waits for it until
// ctx ends.
func (s *Server) AwaitCustomerMessage(ctx context.Context, user string) (CustomerMessage, error) {
	for {
		m, found, more := s.customerMessage(user)
		if found {
			return m, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return CustomerMessage{}, fmt.Errorf("no customer message came: %w", ctx.Err())
		}
	}
}

func (s *Server) customerMessage(user string) (m CustomerMessage, found bool, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.customers.sent {
		if m.ToUser == user {
			return m, true, nil
		}
	}
	return m, false, s.customers.more
}
