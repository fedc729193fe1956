package wechattest

import (
	"cmp"
	"slices"
)

// bodyComponent returns the platform named in the body's component_appid.
func (s *Server) bodyComponent(c *call) (*component, int) {
	appID, isText := c.text("component_appid")
	c.subject = appID
	switch {
	case !isText:
		return nil, codeBadData
	case appID == "":
		return nil, codeComponentMissing
	case s.components[appID] != nil:
		return s.components[appID], codeOK
	case s.accounts[appID] != nil:
		return nil, codeComponentInvalid
	default:
		return nil, codeBadAppID
	}
}

// ownComponent is bodyComponent for calls with a component's token, whose
// platform the body must name.
func (s *Server) ownComponent(c *call) (*component, int) {
	p, code := s.bodyComponent(c)
	if code == codeOK && p.AppID != c.token.key.appID {
		return nil, codeBadAppID
	}
	return p, code
}

// checkSecret compares what the body gives under name with the true secret.
func checkSecret(c *call, name, secret string) int {
	given, isText := c.text(name)
	switch {
	case !isText:
		return codeBadData
	case given == "":
		return codeSecretMissing
	case given != secret:
		return codeBadSecret
	default:
		return codeOK
	}
}

// startPushTicket is https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/startPushTicket.html
func (s *Server) startPushTicket(c *call) reply {
	p, code := s.bodyComponent(c)
	if code == codeOK {
		code = checkSecret(c, "component_secret", p.Secret)
	}
	if code != codeOK {
		return s.refuse(code)
	}
	p.silent, p.wanted = false, true
	s.wakePusher()
	return ok()
}

// componentToken is https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getComponentAccessToken.html
func (s *Server) componentToken(c *call) reply {
	p, code := s.bodyComponent(c)
	if code == codeOK {
		code = checkSecret(c, "component_appsecret", p.Secret)
	}
	if code == codeOK {
		code = cmp.Or(s.listedAddress(p.ipRefused, codeComponentIP), s.checkTicket(c, p), s.spend(c, p.AppID))
	}
	if code != codeOK {
		return s.refuse(code)
	}
	t := s.give(tokenKey{KindComponent, p.AppID, p.AppID}, c.now)
	return answer(object{"component_access_token": t.text, "expires_in": t.left(c.now)})
}

func (s *Server) listedAddress(refused bool, code int) int {
	if refused {
		return code
	}
	return codeOK
}

func (s *Server) checkTicket(c *call, p *component) int {
	text, isText := c.text("component_verify_ticket")
	t := s.tickets[text]
	switch {
	case !isText:
		return codeBadData
	case t == nil || t.of != p:
		return codeTicketInvalid
	case !c.now.Before(t.dies):
		return codeTicketExpired
	default:
		return codeOK
	}
}

// NewTicket makes a component_verify_ticket that is valid from now on, and does
// not push it. Earlier ones stay valid for their time.
func (s *Server) NewTicket(componentAppID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newTicket(s.mustComponent(componentAppID))
}

// GiveTicket is NewTicket of one that a test chooses: somebody may hold it already.
func (s *Server) GiveTicket(componentAppID, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveTicket(s.mustComponent(componentAppID), text)
}

func (s *Server) newTicket(p *component) string {
	text := s.mint.ticket()
	s.giveTicket(p, text)
	return text
}

func (s *Server) giveTicket(p *component, text string) {
	t := &ticket{of: p, dies: s.now().Add(s.opt.TicketLife)}
	s.tickets[text] = t
	p.tickets = append(p.tickets, t)
}

// ExpireTickets ends the life of all the component's tickets.
func (s *Server) ExpireTickets(componentAppID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.mustComponent(componentAppID).tickets {
		t.dies = s.now()
	}
}

// preAuthCode is https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getPreAuthCode.html
func (s *Server) preAuthCode(c *call) reply {
	p, code := s.ownComponent(c)
	if code != codeOK {
		return s.refuse(code)
	}
	text := s.mint.preAuthCode()
	s.preAuthCodes[text] = &preAuthCode{of: p, dies: c.now.Add(s.opt.CodeLife)}
	return answer(object{"pre_auth_code": text, "expires_in": int(s.opt.CodeLife.Seconds())})
}

// maxPage is how many authorizers a page of the list holds at most.
const maxPage = 500

// authorizerList is https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerList.html
func (s *Server) authorizerList(c *call) reply {
	p, code := s.ownComponent(c)
	if code != codeOK {
		return s.refuse(code)
	}
	offset, haveOffset := c.number("offset")
	count, haveCount := c.number("count")
	switch {
	case !haveOffset || !haveCount || offset < 0 || count <= 0:
		return s.refuse(codeBadArguments)
	case count > maxPage:
		return s.refuse(codeListTooLong)
	}
	from := min(offset, len(p.listed))
	page := p.listed[from:min(from+count, len(p.listed))]
	list := make([]object, 0, len(page))
	for _, a := range page {
		list = append(list, object{"authorizer_appid": a.appID, "refresh_token": a.listedRefresh(), "auth_time": a.authTime.Unix()})
	}
	return answer(object{"total_count": len(p.listed), "list": slices.Clip(list)})
}

// listedRefresh is what the list shows as the refresh token; for some accounts
// WeChat leaves it empty.
func (a *authorizer) listedRefresh() string {
	if a.unlisted || a.profileOf().NoAPI {
		return ""
	}
	return a.refresh.text
}
