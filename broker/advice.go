package broker

import "github.com/wxsidecar/wxsidecar/broker/wechat"

// advice says what a person can do about what happened to key, and whose
// setting it is; "" where there is nothing to do but wait. It is pure.
func advice(key Key, what eventKind, errcode int) string {
	switch {
	case what == eventMisconfigured:
		return cure(key, errcode)
	case what == eventFailed:
		return "it is tried again by itself"
	case what == eventQuota:
		return "find out who else fetches tokens; it is tried again within the hour, and at once on SIGHUP"
	case what == eventRevoked && errcode == 0: // an operator's doing
		return "if it is still in force at WeChat, a call for it or the list of authorizers brings it back; else the merchant must authorise again"
	case what == eventRevoked:
		return "the merchant has taken the authorization back and must authorise again"
	case what == eventRefreshVoid && errcode == wechat.CodePasswordChanged:
		return "the account's password was changed; the merchant must authorise again"
	case what == eventRefreshVoid && errcode == 0: // none was ever given
		return "the account may lack the API permissions; the merchant must authorise again, and grant them"
	case what == eventRefreshVoid:
		return "the refresh token is void and WeChat has no other; the merchant must authorise again"
	default:
		return ""
	}
}

// withAdvice returns ev with what a person can do about it behind its reason.
func withAdvice(key Key, ev event) event {
	if do := advice(key, ev.kind, ev.errcode); do != "" {
		ev.reason += "; " + do
	}
	return ev
}

// cure says how to end a misconfiguration.
func cure(key Key, errcode int) string {
	kind := key.Kind
	switch errcode {
	case wechat.CodeInvalidSecret, wechat.CodeInvalidCredential:
		if kind == KindAccount {
			return "correct accounts[].secret of " + key.AppID + ": it is not the AppSecret in the account's console (mp.weixin.qq.com)"
		}
		return "correct components[].secret: it is not the AppSecret in the platform's console (open.weixin.qq.com)"
	case wechat.CodeInvalidAppID, wechat.CodeComponentInvalid:
		return wrongAppID(kind, errcode)
	case wechat.CodeUseComponentAPI:
		return "accounts[].appid is a third-party platform's: configure it under components"
	case wechat.CodeComponentIP, wechat.CodeIPNotInWhitelist, wechat.CodeIPNotRegistered:
		return closedWhitelist(kind, errcode)
	case wechat.CodeIPRefusedForADay:
		return "an administrator of the account has refused our address in WeChat; WeChat asks again after 24 hours"
	case wechat.CodeIPRefusedForAnHour:
		return "an administrator of the account has refused our address in WeChat; WeChat asks again after an hour"
	default: // 89501 to 89505
		return "an administrator of the account must confirm our address in WeChat"
	}
}

func wrongAppID(kind Kind, errcode int) string {
	switch {
	case kind == KindComponent || errcode == wechat.CodeComponentInvalid:
		return "compare components[].appid with the platform's console (open.weixin.qq.com)"
	case kind == KindAccount:
		return "compare accounts[].appid with the account's console (mp.weixin.qq.com)"
	default:
		return "compare the appid with the account's console (mp.weixin.qq.com)"
	}
}

// closedWhitelist says which whitelist lacks our address: 61004 is always said by
// the platform's, the others by that of whose call it was.
func closedWhitelist(kind Kind, errcode int) string {
	const add = "add the address that our calls come from (WeChat names it) to "
	const platform, own = "白名单IP地址列表 in the platform's console (open.weixin.qq.com)", "IP白名单 in the account's console (mp.weixin.qq.com)"
	switch {
	case kind == KindComponent, kind == KindAuthorizer, errcode == wechat.CodeComponentIP:
		return add + platform
	case errcode == wechat.CodeIPNotInWhitelist:
		return add + own
	case kind == KindAccount: // 45035
		return add + own + "; a 微信小店 has a list of its own (channels.weixin.qq.com/shop)"
	default: // a ticket for pages of an account, own or not
		return add + platform + " or " + own
	}
}

// pushAdvice says what to do about pushes for a component that are refused. The
// causes are those of the metric wxsidecar_pushes_total.
func pushAdvice(cause, component string) string {
	switch cause {
	case "forged":
		return "compare push_token with 消息校验Token in WeChat's console"
	case "padding", "frame":
		return "compare encoding_aes_key with 消息加解密Key in WeChat's console"
	case "foreign_appid", "unknown_component", "unknown_path":
		return "the authorization-event URL (授权事件接收URL) in WeChat's console must end in /wechat/" + component + "/event"
	case "outside_window":
		return "the clocks differ, or somebody sends an old push again; compare the two times in the log line \"push refused\""
	case "cut_off":
		return "the body breaks off or takes more than five seconds; look at the proxy in front of the push listener"
	case "too_large":
		return "a body of more than 1 MiB is no push of WeChat's; the log line \"push refused\" says where it comes from"
	case "parameters":
		return "msg_signature, timestamp or nonce is missing or given twice; look whether the proxy in front of the push listener passes the query on"
	case "busy":
		return "more is sent to the push listener at once than it has room for; limit connections in the proxy in front of it"
	default: // what came is not of the form that WeChat gives it
		return "the body is not what WeChat sends; the log line \"push refused\" says where it comes from, and the proxy in front of the push listener must not change it"
	}
}
