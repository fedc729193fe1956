package wechattest

// bodyAuthorizer returns the account named in the body's authorizer_appid, if it
// authorises the platform.
func (s *Server) bodyAuthorizer(c *call, p *component) (*authorizer, int) {
	appID, isText := c.text("authorizer_appid")
	switch {
	case !isText:
		return nil, codeBadData
	case appID == "":
		return nil, codeAppIDMissing
	}
	c.subject = appID
	a := p.authorizers[appID]
	if a == nil || !a.listed {
		return nil, codeNotAuthorized
	}
	return a, codeOK
}

// queryAuth is https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerRefreshToken.html
func (s *Server) queryAuth(c *call) reply {
	p, code := s.ownComponent(c)
	if code != codeOK {
		return s.refuse(code)
	}
	a, code := s.spendCode(c, p)
	if code != codeOK {
		return s.refuse(code)
	}
	a.unlisted, c.subject = false, a.appID
	info := object{"authorizer_appid": a.appID, "func_info": a.funcInfo()}
	if !a.profileOf().NoAPI {
		t := s.give(tokenKey{KindAuthorizer, p.AppID, a.appID}, c.now)
		info["authorizer_access_token"] = t.text
		info["expires_in"] = t.left(c.now)
		info["authorizer_refresh_token"] = a.refresh.text
	}
	return answer(object{"authorization_info": info})
}

// spendCode uses the body's authorization code up.
func (s *Server) spendCode(c *call, p *component) (*authorizer, int) {
	text, isText := c.text("authorization_code")
	if !isText {
		return nil, codeBadData
	}
	if text == "" {
		return nil, codeCodeMissing
	}
	code := s.authCodes[text]
	switch {
	case code == nil || code.used || code.owner.of != p:
		return nil, codeAuthCodeInvalid
	case !c.now.Before(code.dies):
		return nil, codeAuthCodeExpired
	case !code.owner.listed:
		return nil, codeNotAuthorized
	}
	code.used = true
	return code.owner, codeOK
}

// authorizerToken is https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token/getAuthorizerAccessToken.html
func (s *Server) authorizerToken(c *call) reply {
	p, code := s.ownComponent(c)
	if code != codeOK {
		return s.refuse(code)
	}
	a, code := s.bodyAuthorizer(c, p)
	if code != codeOK {
		s.checkRefresh(c, nil)
		return s.refuse(code)
	}
	if code := s.checkRefresh(c, a); code != codeOK {
		return s.refuse(code)
	}
	a.usedSeq = a.refresh.seq
	if s.opt.RotateRefreshTokens {
		s.renewRefresh(a)
	}
	t := s.give(tokenKey{KindAuthorizer, p.AppID, a.appID}, c.now)
	return answer(object{
		"authorizer_access_token":  t.text,
		"expires_in":               t.left(c.now),
		"authorizer_refresh_token": a.refresh.text,
	})
}

// checkRefresh judges the refresh token of the body, and notes those that a
// careful client never sends: an empty one, or one older than another that it
// has used already. For an account without authorization a is nil.
func (s *Server) checkRefresh(c *call, a *authorizer) int {
	text, isText := c.text("authorizer_refresh_token")
	if !isText {
		return codeBadData
	}
	if text == "" {
		c.violation("an empty refresh token")
		return codeRefreshMissing
	}
	given := s.refreshes[text]
	if given != nil && given.seq < given.owner.usedSeq {
		c.violation("an old refresh token of " + given.owner.appID + " after a newer one was used")
	}
	if a == nil || given == nil || given.owner != a || given.void {
		return codeRefreshInvalid
	}
	return codeOK
}

// authorizerInfo is https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/authorization-management/getAuthorizerInfo.html
func (s *Server) authorizerInfo(c *call) reply {
	p, code := s.ownComponent(c)
	if code != codeOK {
		return s.refuse(code)
	}
	a, code := s.bodyAuthorizer(c, p)
	if code != codeOK {
		return s.refuse(code)
	}
	info := object{"authorizer_appid": a.appID, "func_info": a.funcInfo()}
	if !a.profileOf().NoAPI {
		info["authorizer_refresh_token"] = a.refresh.text
	}
	return answer(object{"authorizer_info": a.describe(), "authorization_info": info})
}

func (a *authorizer) funcInfo() []object {
	list := []object{}
	for _, id := range a.profileOf().FuncInfo {
		list = append(list, object{"funcscope_category": object{"id": id}})
	}
	return list
}

func (a *authorizer) describe() object {
	p := a.profileOf()
	info := object{
		"nick_name":         p.NickName,
		"head_img":          "https://wx.qlogo.cn/mmopen/" + a.appID + "/0",
		"service_type_info": object{"id": 2},
		"verify_type_info":  object{"id": 0},
		"user_name":         p.UserName,
		"alias":             "",
		"qrcode_url":        "https://mmbiz.qpic.cn/" + a.appID + "/0",
		"business_info":     object{"open_pay": 0, "open_shake": 0, "open_scan": 0, "open_card": 0, "open_store": 0},
		"idc":               1,
		"principal_name":    p.NickName,
		"signature":         "",
		"account_status":    p.Status,
		"register_type":     0,
		"basic_config":      object{"is_phone_configured": true, "is_email_configured": true},
	}
	if p.MiniProgram {
		info["service_type_info"] = object{"id": 0}
		info["MiniProgramInfo"] = miniProgram()
	}
	return info
}

func miniProgram() object {
	none := []string{}
	return object{
		"network": object{
			"RequestDomain": none, "WsRequestDomain": none, "UploadDomain": none,
			"DownloadDomain": none, "BizDomain": none, "UDPDomain": none, "TCPDomain": none,
		},
		"categories":   []object{{"first": "IT", "second": "tools"}},
		"visit_status": 0,
	}
}

// authorizerOption answers the four option calls. Pages disagree on whose token
// they take; with the component's, the body must say which account is meant.
func (s *Server) authorizerOption(c *call) reply {
	appID := c.token.key.appID
	if c.token.key.kind == KindComponent {
		p, code := s.ownComponent(c)
		if code != codeOK {
			return s.refuse(code)
		}
		a, code := s.bodyAuthorizer(c, p)
		if code != codeOK {
			return s.refuse(code)
		}
		appID = a.appID
	}
	name, _ := c.text("option_name")
	switch name {
	case "location_report", "voice_recognize", "customer_service":
	default:
		return s.refuse(codeBadOptionName)
	}
	if _, setting := c.fields["option_value"]; setting {
		return ok()
	}
	return answer(object{"authorizer_appid": appID, "option_name": name, "option_value": "0"})
}
