package imports

import (
	"strings"
	"time"
)

// Keys of EasyWeChat's cache, behind any prefix. Version 6 and node-easywechat have the first and
// the last; 4 and 5 have "easywechat." before the first; 3 has the others, and it alone keeps
// refresh tokens: since 4 the app does.
const (
	easyTicket    = "open_platform.verify_ticket."
	easyOldTicket = "open_platform.component_verify_ticket."
	easyRefresh   = "open_platform.authorizer_refresh_token."
	easyComponent = "open_platform.component_access_token."
)

// For how long EasyWeChat keeps a ticket, though WeChat takes it for twelve hours: what is left of
// it tells when it came.
const (
	easyTicketLife    = 6000 * time.Second // version 6, node-easywechat
	easyOldTicketLife = time.Hour          // versions 4 and 5
)

// easySooner is by how much EasyWeChat has an access token die before WeChat does.
const easySooner = 100 * time.Second

func readEasyWeChat(key keyText, e Entry, now time.Time) (Finding, bool) {
	f := Finding{Kind: KindTicket, Component: key.rest}
	switch key.mark {
	case easyRefresh:
		f.Kind = KindRefreshToken
		f.Component, f.AppID, _ = strings.Cut(key.rest, ".")
	case easyComponent:
		f.Kind = KindComponentToken
		if e.Left != 0 {
			f.Dies = now.Add(e.Left + easySooner)
		}
	case easyTicket:
		f.At = easyTicketAt(key.prefix, e.Left, now)
	}
	var ok bool
	if f.Value, ok = phpText(e.Value); !ok {
		f.Fault = "the value is no text, neither serialized by PHP nor plain"
	}
	return f, true
}

func easyTicketAt(prefix string, left time.Duration, now time.Time) time.Time {
	life := easyTicketLife
	if strings.HasSuffix(prefix, "easywechat.") {
		life = easyOldTicketLife
	}
	if age := life - left; left != 0 && age >= 0 {
		return now.Add(-age)
	}
	return time.Time{}
}
