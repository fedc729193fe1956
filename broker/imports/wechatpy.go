package imports

import "time"

// The ends of keys that wechatpy's WeChatComponent has in its session, behind the session's prefix
// and the appid: the platform's, or a merchant's. A key of a merchant does not name the platform.
const (
	wechatpyTicket    = "_component_verify_ticket"
	wechatpyRefresh   = "_refresh_token"
	wechatpyComponent = "_component_access_token"
)

func readWechatpy(key keyText, e Entry, now time.Time) (Finding, bool) {
	f := Finding{Kind: KindTicket, Component: key.rest}
	switch key.mark {
	case wechatpyRefresh:
		f = Finding{Kind: KindRefreshToken, AppID: key.rest}
	case wechatpyComponent:
		f.Kind = KindComponentToken
		if e.Left > 0 {
			f.Dies = now.Add(e.Left)
		}
	}
	var ok bool
	if f.Value, ok = jsonText(e.Value); !ok {
		f.Fault = "the value is no text in JSON, as wechatpy's session writes it"
	}
	return f, true
}
