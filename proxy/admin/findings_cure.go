package admin

import (
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// Causes that a person can cure, as WeChat's errcodes tell them apart.
const (
	wrongSecret        = "wrong_secret"
	wrongAppID         = "wrong_appid"
	addressNotListed   = "address_not_listed"
	addressUnconfirmed = "address_unconfirmed"
	addressRefused     = "address_refused"
)

// cause is a finding's code or, where the errcode says more than that, what it says.
func (f *Finding) cause() string {
	if f.Code != "misconfigured" {
		return f.Code
	}
	switch code := f.Errcode; {
	case code == wechat.CodeInvalidSecret, code == wechat.CodeInvalidCredential:
		return wrongSecret
	case code == wechat.CodeInvalidAppID, code == wechat.CodeComponentInvalid, code == wechat.CodeUseComponentAPI:
		return wrongAppID
	case code == wechat.CodeComponentIP, code == wechat.CodeIPNotInWhitelist, code == wechat.CodeIPNotRegistered:
		return addressNotListed
	case code == wechat.CodeIPRefusedForADay, code == wechat.CodeIPRefusedForAnHour:
		return addressRefused
	case code >= 89501 && code <= 89505:
		return addressUnconfirmed
	default:
		return f.Code
	}
}

// cureOf says what to do about what is wrong with a key, and which section of the runbook has
// more.
func cureOf(f *Finding) (cure, runbook string) {
	cure, runbook = generalCure(f)
	if f.AppID != "" {
		cure = strings.Replace(cure, "APPID", f.AppID, 1)
	}
	return cure, runbook
}

// generalCure is cureOf for any appid.
func generalCure(f *Finding) (cure, runbook string) {
	const misconfigured = "misconfigured-only-a-person-can-cure-it"
	switch f.cause() {
	case wrongSecret:
		return f.in("set {setting}[].secret to the AppSecret in {console}; a changed file is noticed, no restart is needed"), misconfigured
	case wrongAppID:
		return f.in("compare {setting}[].appid with {console}; a changed file is noticed, no restart is needed"), misconfigured
	case addressNotListed:
		return f.in("add the address that the message names to {list} in {console}, then: wxsidecar renew APPID"), misconfigured
	case addressUnconfirmed:
		return "an administrator of the account must confirm our address in WeChat, then: wxsidecar renew APPID", misconfigured
	case addressRefused:
		return "an administrator of the account has refused our address; ask them, as WeChat asks again by itself", misconfigured
	case "misconfigured":
		return "do what the message ends with; a changed file is noticed, and else: wxsidecar renew APPID", misconfigured
	case "waiting_ticket":
		return f.in("have pushes reach POST /wechat/<component>/event, or ask WeChat to push: wxsidecar ticket start"), "waiting_ticket-no-ticket-comes"
	case "quota_exhausted":
		return "find out who else fetches tokens, clear the quota in WeChat's console, then: wxsidecar renew APPID", "quota_exhausted-45009-on-token-calls"
	case "needs_authorization", "unauthorized":
		return "the merchant must authorise again: wxsidecar link prints the page", "needs_authorization-and-unauthorized-a-merchant"
	default:
		return "it is tried again by itself; if it stays, the message says what WeChat answered", "wechat-does-not-answer"
	}
}

// in puts the names of the finding's setting, console, list of addresses and component into a text.
func (f *Finding) in(text string) string {
	switch {
	case f.Kind == "account" && f.Errcode == wechat.CodeIPNotRegistered:
		return ownPlaces.Replace(strings.Replace(text, "{console}", "{console} (微信小店: channels.weixin.qq.com/shop)", 1))
	case f.Kind == "account":
		return ownPlaces.Replace(text)
	case f.Kind == "component":
		text = strings.ReplaceAll(text, "<component>", f.AppID)
	}
	return platformPlaces.Replace(text)
}

var (
	platformPlaces = strings.NewReplacer("{setting}", "components", "{console}", "open.weixin.qq.com", "{list}", "白名单IP地址列表")
	ownPlaces      = strings.NewReplacer("{setting}", "accounts", "{console}", "mp.weixin.qq.com", "{list}", "IP白名单")
)
