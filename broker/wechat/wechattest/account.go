package wechattest

import (
	"net/http"
	"time"
)

// maxForced is how many forced refreshes an account has a day.
const maxForced = 20

// forcedRefreshes counts an account's forced refreshes.
type forcedRefreshes struct {
	day  int64
	used int
	last time.Time
}

// credentials checks an account's appid and secret.
func (s *Server) credentials(c *call, appID, secret string) (*account, int) {
	c.subject = appID
	switch {
	case appID == "":
		return nil, codeAppIDMissing
	case secret == "":
		return nil, codeSecretMissing
	case s.components[appID] != nil:
		return nil, codeUseComponentToken
	}
	a := s.accounts[appID]
	switch {
	case a == nil && s.isAuthorizer(appID):
		return nil, codeBadSecret
	case a == nil:
		return nil, codeBadAppID
	case a.secret != secret:
		return nil, codeBadSecret
	case a.ipRefused:
		return nil, codeIPNotListed
	}
	return a, codeOK
}

func (s *Server) isAuthorizer(appID string) bool {
	for _, p := range s.components {
		if p.authorizers[appID] != nil {
			return true
		}
	}
	return false
}

// plainToken is https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_access_token.html
func (s *Server) plainToken(c *call) reply {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodPost {
		return s.refuse(codeNeedGet)
	}
	if c.get("grant_type") != "client_credential" {
		return s.refuse(codeBadGrantType)
	}
	a, code := s.credentials(c, c.get("appid"), c.get("secret"))
	if code == codeOK {
		code = s.spend(c, a.appID)
	}
	if code != codeOK {
		return s.refuse(code)
	}
	return c.tokenAnswer(s.give(tokenKey{kind: KindAccount, appID: a.appID}, c.now))
}

func (c *call) tokenAnswer(t *token) reply {
	return answer(object{"access_token": t.text, "expires_in": t.left(c.now)})
}

// stableToken is https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html
func (s *Server) stableToken(c *call) reply {
	var grant, appID, secret string
	force, isFlag := c.flag("force_refresh")
	if !isFlag || !c.texts(map[string]*string{"grant_type": &grant, "appid": &appID, "secret": &secret}) {
		return s.refuse(codeBadData)
	}
	if grant != "client_credential" {
		return s.refuse(codeBadGrantType)
	}
	a, code := s.credentials(c, appID, secret)
	if code == codeOK {
		code = s.spend(c, a.appID)
	}
	if code != codeOK {
		return s.refuse(code)
	}
	if force {
		return s.forceRefresh(c, a)
	}
	return c.tokenAnswer(s.stable(a, c.now))
}

// stable returns the account's stable token: the same one until its last
// twenty-fourth, then a new one while the former lives to its own end.
func (s *Server) stable(a *account, now time.Time) *token {
	key := tokenKey{kind: KindStable, appID: a.appID}
	if t := s.fresh(key, now); t != nil {
		return t
	}
	return s.purse.issue(key, s.mint.token(), now, s.opt.TokenLife, s.opt.TokenLife/shareOfEnd)
}

// forceRefresh gives a new stable token and ends the former at once. Too soon
// after the last one the same token comes back.
func (s *Server) forceRefresh(c *call, a *account) reply {
	now := c.now
	if day := s.opt.calendar(now); day != a.forced.day {
		a.forced.day, a.forced.used = day, 0
	}
	key := tokenKey{kind: KindStable, appID: a.appID}
	if t := s.purse.current(key, now); t != nil && now.Sub(a.forced.last) < s.opt.TokenLife/240 {
		return c.tokenAnswer(t)
	}
	if a.forced.used >= maxForced {
		return s.refuse(codeQuota)
	}
	a.forced.used++
	a.forced.last = now
	return c.tokenAnswer(s.purse.issue(key, s.mint.token(), now, s.opt.TokenLife, 0))
}

// pageTicket is the jsapi_ticket of
// https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html and
// the api_ticket for cards. The same ticket comes until its last twenty-fourth.
func (s *Server) pageTicket(c *call) reply {
	kind := Kind(c.get("type"))
	if kind != KindJSAPI && kind != KindWXCard {
		return s.refuse(codeBadArguments)
	}
	key := tokenKey{kind: kind, component: c.token.key.component, appID: c.token.key.appID}
	now := c.now
	t := s.fresh(key, now)
	if t == nil {
		t = s.purse.issue(key, s.mint.text(86), now, s.opt.TokenLife, s.opt.Overlap)
	}
	return answer(object{"errcode": 0, "errmsg": "ok", "ticket": t.text, "expires_in": t.left(now)})
}
