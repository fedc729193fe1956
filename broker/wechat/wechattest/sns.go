package wechattest

import "time"

// Lives of a user's credentials, in lives of a token.
const userRefreshLives = 12 * 30

// login is a code that a user's client got: of wx.login, or of the OAuth page.
type login struct {
	appID, openID string
	dies          time.Time
	used          bool
}

// LoginCode makes a code as wx.login and the OAuth page give it for a user of
// appID. It works once, for a twenty-fourth of a token's life (five minutes).
func (s *Server) LoginCode(appID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	code := "0" + s.mint.text(31)
	s.logins[code] = &login{
		appID: appID, openID: s.mint.openID(),
		dies: s.now().Add(s.opt.TokenLife / shareOfEnd),
	}
	return code
}

// spendLogin uses a user's code up.
func (s *Server) spendLogin(c *call, code string) (*login, int) {
	l := s.logins[code]
	switch {
	case code == "":
		return nil, codeCodeMissing
	case l == nil || l.appID != c.get("appid"):
		return nil, codeBadCode
	case l.used:
		return nil, codeUsedCode
	case !c.now.Before(l.dies):
		return nil, codeCodeExpired
	}
	l.used = true
	return l, codeOK
}

// codeToSession is https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html
func (s *Server) codeToSession(c *call) reply {
	if _, code := s.credentials(c, c.get("appid"), c.get("secret")); code != codeOK {
		return s.refuse(code)
	}
	return s.session(c, s.refuse)
}

// componentCodeToSession is https://developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/miniprogram-management/login/thirdpartyCode2Session.html
//
// WeChat's example shows its errcode as a string.
func (s *Server) componentCodeToSession(c *call) reply {
	if code := s.onBehalf(c); code != codeOK {
		return s.refuse(code)
	}
	return s.session(c, func(code int, _ ...string) reply { return s.refuseText(code) })
}

func (s *Server) session(c *call, refuse func(int, ...string) reply) reply {
	if c.get("grant_type") != "authorization_code" {
		return refuse(codeBadGrantType)
	}
	l, code := s.spendLogin(c, c.get("js_code"))
	if code != codeOK {
		return refuse(code)
	}
	return answer(object{"openid": l.openID, "session_key": s.mint.text(22) + "==", "unionid": "u" + l.openID[1:]})
}

// onBehalf checks that the query names the component whose token came, and an
// account that authorises it.
func (s *Server) onBehalf(c *call) int {
	c.subject = c.get("appid")
	if c.get("secret") != "" {
		c.violation("a secret on " + c.path + ", which takes none")
	}
	p := s.components[c.get("component_appid")]
	switch {
	case c.get("component_appid") == "":
		return codeComponentMissing
	case p == nil || p.AppID != c.token.key.appID:
		return codeBadAppID
	case c.get("appid") == "":
		return codeAppIDMissing
	}
	if a := p.authorizers[c.get("appid")]; a == nil || !a.listed {
		return codeNotAuthorized
	}
	return codeOK
}

// callerOf checks who asks for a user's token: the account itself with its
// secret, or its component. A refresh in the account's own name takes no secret.
func (s *Server) callerOf(c *call, secretNeeded bool) int {
	if RuleOf(c.path, "") == RuleComponentName {
		return s.onBehalf(c)
	}
	c.subject = c.get("appid")
	if !secretNeeded {
		if c.subject == "" {
			return codeAppIDMissing
		}
		return codeOK
	}
	_, code := s.credentials(c, c.get("appid"), c.get("secret"))
	return code
}

// userToken is https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html
// and its form on behalf of an account.
func (s *Server) userToken(c *call) reply {
	if code := s.callerOf(c, true); code != codeOK {
		return s.refuse(code)
	}
	if c.get("grant_type") != "authorization_code" {
		return s.refuse(codeBadGrantType)
	}
	l, code := s.spendLogin(c, c.get("code"))
	if code != codeOK {
		return s.refuse(code)
	}
	return s.giveUser(c, l.appID, l.openID)
}

func (s *Server) giveUser(c *call, appID, openID string) reply {
	access := s.mintUser(KindUser, appID, openID, s.opt.TokenLife, c.now)
	refresh := s.mintUser(kindUserRefresh, appID, openID, userRefreshLives*s.opt.TokenLife, c.now)
	return answer(object{
		"access_token": access.text, "expires_in": access.left(c.now), "refresh_token": refresh.text,
		"openid": openID, "scope": "snsapi_userinfo", "unionid": "u" + openID[1:],
	})
}

func (s *Server) userRefresh(c *call) reply {
	if code := s.callerOf(c, false); code != codeOK {
		return s.refuse(code)
	}
	if c.get("grant_type") != "refresh_token" {
		return s.refuse(codeBadGrantType)
	}
	t := s.purse.byText[c.get("refresh_token")]
	switch {
	case c.get("refresh_token") == "":
		return s.refuse(codeRefreshMissing)
	case t == nil || t.key.kind != kindUserRefresh || t.key.appID != c.subject:
		return s.refuse(codeBadUserRefresh)
	case !t.alive(c.now):
		return s.refuse(codeUserRefreshDead)
	}
	return s.giveUser(c, t.key.appID, t.openID)
}

// UserToken makes an OAuth token of a user of appID, and the user's openid.
func (s *Server) UserToken(appID string) (text, openID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	openID = s.mint.openID()
	return s.mintUser(KindUser, appID, openID, s.opt.TokenLife, s.now()).text, openID
}

// mintUser makes a user's credential, which displaces no other.
func (s *Server) mintUser(kind Kind, appID, openID string, life time.Duration, now time.Time) *token {
	t := &token{
		key: tokenKey{kind: kind, appID: appID}, text: s.mint.token(), openID: openID,
		generation: 1, born: now, dies: now.Add(life),
	}
	s.purse.add(t)
	return t
}

// ownUser checks that the openid is that of the token's user.
func ownUser(c *call) int {
	switch c.get("openid") {
	case "":
		return codeOpenIDMissing
	case c.token.openID:
		return codeOK
	default:
		return codeBadOpenID
	}
}

func (s *Server) userInfo(c *call) reply {
	if code := ownUser(c); code != codeOK {
		return s.refuse(code)
	}
	return answer(object{
		"openid": c.token.openID, "nickname": "小明", "sex": 0, "province": "", "city": "", "country": "",
		"headimgurl": "https://thirdwx.qlogo.cn/mmopen/1/132", "privilege": []string{},
	})
}

func (s *Server) userAuth(c *call) reply {
	if code := ownUser(c); code != codeOK {
		return s.refuse(code)
	}
	return ok()
}
