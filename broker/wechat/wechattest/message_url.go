package wechattest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// MessageSettings are where the messages of an own account go, as its console shows it
// (服务器配置).
type MessageSettings struct {
	URL, Token string
	// EncodingAESKey encrypts the messages (安全模式); without it they are plain (明文模式).
	EncodingAESKey string
	// Compatible says that a message stands beside its encrypted form (兼容模式).
	Compatible bool
}

// SetMessages says where the messages of the own account appID go.
func (s *Server) SetMessages(appID string, m MessageSettings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings[m.Token] = "a push token"
	s.settings[m.EncodingAESKey] = "an AES key"
	s.mustAccount(appID).messages = m
}

func (s *Server) mustAccount(appID string) *account {
	a := s.accounts[appID]
	if a == nil {
		panic("wechattest: unknown account " + appID)
	}
	return a
}

// CheckMessageURL makes the check that WeChat makes when the settings of an own account are
// saved: a GET with an echostr, which must come back as it is within five seconds.
func (s *Server) CheckMessageURL(ctx context.Context, appID string) error {
	to := s.recipientOf("", appID)
	timestamp, nonce := s.stamp()
	query := signedQuery(to.Token, timestamp, nonce)
	echo := nonce + timestamp
	query.Set("echostr", echo)
	reply, err := s.request(ctx, http.MethodGet, to.URL, SealedPush{Query: query})
	if err == nil && (reply.Status != http.StatusOK || string(reply.Body) != echo) {
		err = fmt.Errorf("answered with status %d and %d bytes, not with 200 and exactly the echostr", reply.Status, len(reply.Body))
	}
	if err != nil {
		return fmt.Errorf("check the message URL of %s: %w", appID, err)
	}
	return nil
}

// recipient is where an account's messages go, and how they are sealed.
type recipient struct {
	MessageSettings
	// frameAppID ends the frame of what is encrypted.
	frameAppID string
	// plain says that messages are not encrypted.
	plain    bool
	userName string
}

// recipientOf finds the recipient of the messages to appID, which come through a component
// or, if componentAppID is empty, straight.
func (s *Server) recipientOf(componentAppID, appID string) recipient {
	s.mu.Lock()
	defer s.mu.Unlock()
	if componentAppID == "" {
		m := s.mustAccount(appID).messages
		return recipient{m, appID, m.EncodingAESKey == "", userNameOf(appID)}
	}
	c := s.mustComponent(componentAppID)
	m := MessageSettings{
		URL: strings.ReplaceAll(c.MessageURL, "$APPID$", appID), Token: c.PushToken, EncodingAESKey: c.EncodingAESKey,
	}
	userName := userNameOf(appID)
	if a := c.authorizers[appID]; a != nil {
		userName = a.profileOf().UserName
	}
	return recipient{m, componentAppID, false, userName}
}
