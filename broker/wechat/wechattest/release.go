package wechattest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// releaseAccount is one of the accounts with which WeChat checks a component before its release.
type releaseAccount struct {
	AppID, UserName string
	MiniProgram     bool
}

// The pairs of accounts of the check, an official account and a mini program each. They are
// deliberately not taken from the program's own list, so that a slip in either shows.
var releasePairs = [][2]releaseAccount{
	{{"wx570bc396a51b8ff8", "gh_3c884a361561", false}, {"wxd101a85aa106f53e", "gh_8dad206e9538", true}},
	{{"wx9252c5e0bb1836fc", "gh_c0f28a78b318", false}, {"wxc39235c15087f6f3", "gh_905ae9d01059", true}},
	{{"wx8e1097c5bc82cde9", "gh_3f222ed8d140", false}, {"wx7720d01d4b2a4500", "gh_393666f1fdf4", true}},
	{{"wx14550af28c71a144", "gh_26128078e9ab", false}, {"wx05d483572dcd5d8b", "gh_39abb5d4e1b7", true}},
	{{"wxa35b9c23cfe664eb", "gh_2b3713f184a6", false}, {"wx5910277cae6fd970", "gh_7818dcb60240", true}},
}

// ReleasePairs is how many pairs of accounts the release check draws from.
func ReleasePairs() int { return len(releasePairs) }

// ReleaseCheck is one run of WeChat's whole-network release check (全网发布检测). See
// https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/operation/thirdparty/releases_instructions.html
type ReleaseCheck struct {
	Component string
	// Pair is which of the [ReleasePairs] is drawn, from 0.
	Pair int
	// JSON says that the messages are JSON.
	JSON bool
}

// ReleaseStep is one step of a release check. Err is empty if it was passed.
type ReleaseStep struct{ Name, AppID, Err string }

// CheckRelease runs a release check: a ticket; of the official account a text, an event (of the
// older versions of the check) and a code for which a customer message is wanted; of the mini
// program such a code too. The official account's code is pushed with an authorized event as
// well, the mini program's is not, since reports differ on which of them WeChat uses. It returns
// all steps, and an error that joins those that failed. It blocks.
func (s *Server) CheckRelease(ctx context.Context, r ReleaseCheck) (steps []ReleaseStep, err error) {
	pair := releasePairs[r.Pair%len(releasePairs)]
	official, mini := pair[0], pair[1]
	var officialCode string
	for _, step := range []struct {
		name    string
		account releaseAccount
		pass    func() error
	}{
		{"component_verify_ticket", releaseAccount{}, func() error { return s.PushTicket(ctx, r.Component) }},
		{"authorized", official, func() error {
			renewed := s.Knows(r.Component, official.AppID)
			officialCode = s.authorizeTester(r.Component, official)
			return s.Push(ctx, r.Component, s.AuthorizedEvent(official.AppID, officialCode, renewed))
		}},
		{"text", official, func() error {
			const text = "TESTCOMPONENT_MSG_TYPE_TEXT"
			return s.wantReply(ctx, r, official, Message{Content: text}, text+"_callback")
		}},
		{"event", official, func() error {
			return s.wantReply(ctx, r, official, Message{Event: "LOCATION"}, "LOCATIONfrom_callback")
		}},
		{"code of an official account", official, func() error { return s.wantAnswer(ctx, r, official, officialCode) }},
		{"code of a mini program", mini, func() error {
			return s.wantAnswer(ctx, r, mini, s.authorizeTester(r.Component, mini))
		}},
	} {
		fault := step.pass()
		steps = append(steps, ReleaseStep{step.name, step.account.AppID, errText(fault)})
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("release check, %s: %w", step.name, fault))
		}
	}
	return steps, err
}

// authorizeTester lets an account of the check authorise the component.
func (s *Server) authorizeTester(component string, a releaseAccount) (code string) {
	code = s.Authorize(component, a.AppID)
	s.SetProfile(component, a.AppID, Profile{UserName: a.UserName, MiniProgram: a.MiniProgram})
	return code
}

// wantReply pushes a message that must be replied to with the text content at once.
func (s *Server) wantReply(ctx context.Context, r ReleaseCheck, a releaseAccount, m Message, content string) error {
	m.JSON = r.JSON
	reply, err := s.PushMessage(ctx, r.Component, a.AppID, m)
	if err == nil && (reply.MsgType != msgText || reply.Content != content) {
		err = fmt.Errorf("answered with %q and the text %q, not with the text %q", reply.Body, reply.Content, content)
	}
	return err
}

// wantAnswer pushes a code that must be answered with an empty string, and then with a customer
// message.
func (s *Server) wantAnswer(ctx context.Context, r ReleaseCheck, a releaseAccount, code string) error {
	user := s.newOpenID()
	reply, err := s.PushMessage(ctx, r.Component, a.AppID, Message{FromUserName: user, Content: "QUERY_AUTH_CODE:" + code, JSON: r.JSON})
	if err != nil {
		return err
	}
	if len(reply.Body) > 0 {
		return fmt.Errorf("answered with %q, not with an empty string", reply.Body)
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	sent, err := s.AwaitCustomerMessage(ctx, user)
	switch want := code + "_from_api"; {
	case err != nil:
		return err
	case sent.MsgType != msgText || sent.Content != want:
		return fmt.Errorf("the customer message is the %s %q, not the text %q", sent.MsgType, sent.Content, want)
	case sent.Component != r.Component || sent.AppID != a.AppID:
		return fmt.Errorf("the customer message came with a token of %s by component %s, not of %s", sent.AppID, cmp.Or(sent.Component, "none"), a.AppID)
	case !s.codeUsed(code):
		return errors.New("the code was not exchanged")
	}
	return nil
}

func (s *Server) codeUsed(code string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.authCodes[code].used
}

func (s *Server) newOpenID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mint.openID()
}
