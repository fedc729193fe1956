package wechattest

import (
	"fmt"
	"strings"
	"time"
)

// InfoTypes of authorization events, in WeChat's spelling. See
// https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/authorize_event.html
const (
	InfoTicket           = "component_verify_ticket"
	InfoAuthorized       = "authorized"
	InfoUpdateAuthorized = "updateauthorized"
	InfoUnauthorized     = "unauthorized"
	InfoFastRegister     = "notify_third_fasteregister"
	InfoFastRegisterBeta = "notify_third_fastregisterbetaapp"
	InfoFastVerifyBeta   = "notify_third_fastverifybetaapp"
)

// Event is one authorization event before it is sealed. Its zero fields are left
// out of the XML.
type Event struct {
	InfoType string
	// CreateTime is when the event happened; zero means now.
	CreateTime time.Time
	// Ticket is for component_verify_ticket.
	Ticket string
	// AuthorizerAppID, Code, CodeExpires and PreAuthCode are for authorized and
	// updateauthorized; the first for unauthorized too.
	AuthorizerAppID string
	Code            string
	CodeExpires     time.Time
	PreAuthCode     string
	// NewAppID (appid), AuthCode (auth_code), Status and Msg are for the fast
	// registrations; their status is always written.
	NewAppID string
	AuthCode string
	Status   int
	Msg      string
	// Extra is XML that is put in as it stands.
	Extra string
	// AppID overrides the component's appid in the document; for forgeries.
	AppID string
}

// XML returns the event as WeChat writes it, for the component. now stands in
// for a zero CreateTime.
func (e Event) XML(component string, now time.Time) []byte {
	if e.AppID != "" {
		component = e.AppID
	}
	if e.CreateTime.IsZero() {
		e.CreateTime = now
	}
	var b strings.Builder
	b.WriteString("<xml>")
	cdata(&b, "AppId", component)
	fmt.Fprintf(&b, "<CreateTime>%d</CreateTime>", e.CreateTime.Unix())
	cdata(&b, "InfoType", e.InfoType)
	cdata(&b, "ComponentVerifyTicket", e.Ticket)
	cdata(&b, "AuthorizerAppid", e.AuthorizerAppID)
	cdata(&b, "AuthorizationCode", e.Code)
	if !e.CodeExpires.IsZero() {
		fmt.Fprintf(&b, "<AuthorizationCodeExpiredTime>%d</AuthorizationCodeExpiredTime>", e.CodeExpires.Unix())
	}
	cdata(&b, "PreAuthCode", e.PreAuthCode)
	e.registration(&b)
	b.WriteString(e.Extra)
	b.WriteString("</xml>")
	return []byte(b.String())
}

// registration writes the fields of a fast registration, which has its own
// spelling.
func (e Event) registration(b *strings.Builder) {
	switch e.InfoType {
	case InfoFastRegister, InfoFastRegisterBeta, InfoFastVerifyBeta:
	default:
		return
	}
	cdata(b, "appid", e.NewAppID)
	fmt.Fprintf(b, "<status>%d</status>", e.Status)
	cdata(b, "auth_code", e.AuthCode)
	cdata(b, "msg", e.Msg)
	b.WriteString("<info><name><![CDATA[tencent]]></name><code><![CDATA[123]]></code><code_type>1</code_type></info>")
}

// cdata writes one element, unless it is empty.
func cdata(b *strings.Builder, name, value string) {
	if value == "" {
		return
	}
	value = strings.ReplaceAll(value, "]]>", "]]]]><![CDATA[>")
	fmt.Fprintf(b, "<%s><![CDATA[%s]]></%s>", name, value, name)
}

// AuthorizedEvent is the event that follows [Server.Authorize]: renewed says that
// the account had authorised the component before.
func (s *Server) AuthorizedEvent(appID, code string, renewed bool) Event {
	e := Event{
		InfoType: InfoAuthorized, AuthorizerAppID: appID, Code: code,
		CodeExpires: s.now().Add(s.opt.CodeLife),
	}
	if renewed {
		e.InfoType = InfoUpdateAuthorized
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.authCodes[code]; known != nil {
		e.CodeExpires = known.dies
	}
	e.PreAuthCode = s.mint.preAuthCode()
	return e
}
