package imports

import (
	"math"
	"strings"
	"time"
)

// Keys of WxJava's WxOpenInRedisConfigStorage and its siblings for Redisson and RedisTemplate,
// each behind an optional prefix: the platform's appid follows, and for a merchant a colon and
// its appid.
const (
	wxJavaTicket    = "wechat_component_verify_ticket:"
	wxJavaRefresh   = "wechat_authorizer_refresh_token:"
	wxJavaComponent = "wechat_component_access_token:"
)

// wxJavaTicketLife is what WxJava gives a ticket: Integer.MAX_VALUE seconds. What is left of it
// tells when it came. Its first versions gave none.
const wxJavaTicketLife = math.MaxInt32 * time.Second

// wxJavaSooner is by how much WxJava has an access token die before WeChat does.
const wxJavaSooner = 200 * time.Second

func readWxJava(key keyText, e Entry, now time.Time) (Finding, bool) {
	f := Finding{Kind: KindTicket, Component: key.rest}
	var ok bool
	if f.Value, ok = javaText(e.Value); !ok {
		f.Fault = "the value is in a form of Redisson's that is not known: have StringCodec, JsonJacksonCodec or Kryo5Codec write it, or use CSV"
	}
	switch key.mark {
	case wxJavaRefresh:
		f.Kind = KindRefreshToken
		f.Component, f.AppID, _ = strings.Cut(key.rest, ":")
	case wxJavaComponent:
		f.Kind = KindComponentToken
		if e.Left > 0 {
			f.Dies = now.Add(e.Left + wxJavaSooner)
		}
	default:
		if age := wxJavaTicketLife - e.Left; e.Left > 0 && age >= 0 {
			f.At = now.Add(-age)
		}
	}
	return f, true
}
