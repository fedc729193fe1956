package authorize

import (
	"net/url"
	"strings"
)

// WeChat's authorization pages.
const (
	pcHost    = "https://mp.weixin.qq.com"
	pcPath    = "/cgi-bin/componentloginpage"
	phoneHost = "https://open.weixin.qq.com"
	phonePath = "/wxaopen/safe/bindcomponent"
)

// PageURL returns the address of the page on which a merchant authorises the component.
// publicURL is that of [Options].
func PageURL(publicURL, component string, r Request) string {
	return strings.TrimRight(publicURL, "/") + "/wechat/" + url.PathEscape(component) + "/authorize?" + r.query()
}

// links are the addresses of WeChat's authorization page for one visit.
type links struct{ pc, phone string }

// links returns them. The order of the parameters, and the fragment of the phone's
// address, are as WeChat's documentation has them.
func (p *Pages) links(component, preAuthCode, state string, r Request) links {
	back := p.publicURL + "/wechat/" + component + "/authorized?state=" + url.QueryEscape(state)
	query := "component_appid=" + url.QueryEscape(component) + "&pre_auth_code=" + url.QueryEscape(preAuthCode) +
		"&redirect_uri=" + url.QueryEscape(back) + "&auth_type=" + r.AuthType
	if r.BizAppID != "" {
		query += "&biz_appid=" + url.QueryEscape(r.BizAppID)
	}
	if r.CategoryIDList != "" {
		query += "&category_id_list=" + url.QueryEscape(r.CategoryIDList)
	}
	pc, phone := pcHost, phoneHost
	if p.loginURL != "" {
		pc, phone = p.loginURL, p.loginURL
	}
	return links{
		pc:    pc + pcPath + "?" + query,
		phone: phone + phonePath + "?action=bindcomponent&no_scan=1&" + query + "#wechat_redirect",
	}
}

// of returns the link for a visitor's device.
func (l links) of(v *visitor) string {
	if v.phone {
		return l.phone
	}
	return l.pc
}
