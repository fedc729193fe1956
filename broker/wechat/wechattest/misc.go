package wechattest

import (
	"strings"
	"time"
)

// clearOwnQuota is https://developers.weixin.qq.com/doc/oplatform/openApi/openapi/clearQuota.html
// with the token of the account that is cleared.
func (s *Server) clearOwnQuota(c *call) reply {
	appID, isText := c.text("appid")
	if appID == "" && c.token.key.kind == KindComponent {
		appID, isText = c.text("component_appid") // its older name
	}
	switch {
	case !isText:
		return s.refuse(codeBadData)
	case appID == "":
		return s.refuse(codeAppIDMissing)
	case appID != c.token.key.appID:
		return s.refuse(codeBadAppID)
	}
	return s.cleared(appID, c.now)
}

func (s *Server) cleared(appID string, now time.Time) reply {
	if code := s.clearQuota(appID, now); code != codeOK {
		return s.refuse(code)
	}
	return ok()
}

// clearAccountQuota is https://developers.weixin.qq.com/doc/oplatform/openApi/openapi/clearQuotaByAppSecret.html
func (s *Server) clearAccountQuota(c *call) reply {
	var appID, secret string
	if !c.texts(map[string]*string{"appid": &appID, "appsecret": &secret}) {
		return s.refuse(codeBadData)
	}
	if _, code := s.credentials(c, appID, secret); code != codeOK {
		return s.refuse(code)
	}
	return s.cleared(appID, c.now)
}

// clearComponentQuota is https://developers.weixin.qq.com/doc/oplatform/openApi/openapi/clearComponentQuotaByAppSecret.html
func (s *Server) clearComponentQuota(c *call) reply {
	p, code := s.bodyComponent(c)
	if code == codeOK {
		code = checkSecret(c, "appsecret", p.Secret)
	}
	if code != codeOK {
		return s.refuse(code)
	}
	appID, isText := c.text("appid")
	if !isText {
		return s.refuse(codeBadData)
	}
	if appID == "" {
		return s.cleared(p.AppID, c.now)
	}
	if a := p.authorizers[appID]; a == nil || !a.listed {
		return s.refuse(codeNotAuthorized)
	}
	c.subject = appID
	return s.cleared(appID, c.now)
}

// quotaGet is https://developers.weixin.qq.com/doc/oplatform/openApi/openapi/getApiQuota.html
func (s *Server) quotaGet(c *call) reply {
	path, isText := c.text("cgi_path")
	if !isText {
		return s.refuse(codeBadData)
	}
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/sns/") {
		return s.refuse(codeBadCgiPath)
	}
	s.turn(c.now)
	limit, limited := s.opt.DailyLimits[path]
	if !limited {
		limit = 100000
	}
	key := quotaKey{c.token.key.appID, path}
	used := s.quota.used[key]
	if s.quota.exhausted[key] {
		used = limit
	}
	return answer(object{
		"errcode": 0, "errmsg": "ok",
		"quota":      object{"daily_limit": limit, "used": used, "remain": max(0, limit-used)},
		"rate_limit": object{"call_count": 10000, "refresh_second": 60},
	})
}

// ipList is https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Get_the_WeChat_server_IP_address.html
// with addresses from the documentation ranges.
func (s *Server) ipList(*call) reply {
	return answer(object{"ip_list": []string{"192.0.2.1", "192.0.2.2", "198.51.100.0/24"}})
}

// callbackCheck is https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Network_Detection.html
func (s *Server) callbackCheck(c *call) reply {
	var action, operator string
	if !c.texts(map[string]*string{"action": &action, "check_operator": &operator}) {
		return s.refuse(codeBadData)
	}
	switch action {
	case "dns", "ping", "all":
	default:
		return s.refuse(codeBadCheckAction)
	}
	switch operator {
	case "CHINANET", "UNICOM", "CAP", "DEFAULT":
	default:
		return s.refuse(codeBadCheckOperator)
	}
	return answer(object{
		"dns":  []object{{"ip": "192.0.2.1", "real_operator": operator}},
		"ping": []object{{"ip": "192.0.2.1", "from_operator": operator, "package_loss": "0%", "time": "23.079ms"}},
	})
}
