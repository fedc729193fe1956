package authorize

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/wxsidecar/wxsidecar/proxy/language"
)

// visitor is who asks for a page.
type visitor struct {
	component string
	// browser is what the cookie names it; "" for none.
	browser string
	address netip.Prefix
	words   *words
	// json asks for JSON in place of a page.
	json bool
	// phone says that the browser runs on a phone, wechat that it is WeChat's own.
	phone, wechat bool
	// embedded says that nobody has opened the page: see isEmbedded.
	embedded bool
}

// visitor reads a request's head.
func (p *Pages) visitor(r *http.Request) *visitor {
	accept, agent := r.Header.Get("Accept"), r.UserAgent()
	v := &visitor{
		component: r.PathValue("component"),
		address:   p.addressOf(r),
		words:     wordsFor(r.Header.Get("Accept-Language")),
		json:      strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html"),
		phone:     strings.Contains(agent, "Mobile") || strings.Contains(agent, "Android"),
		wechat:    strings.Contains(agent, "MicroMessenger"),
		embedded:  isEmbedded(r.Header),
	}
	if c, err := r.Cookie(p.cookieName); err == nil && validBrowser(c.Value) {
		v.browser = c.Value
	}
	return v
}

// isEmbedded reports whether the browser loads the page unseen: for another site, as an image
// or in a frame, or ahead of a click. A site with many visitors could use up the component's
// limit so, from as many addresses. Browsers that do not tell are let in.
func isEmbedded(h http.Header) bool {
	opened := h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document"
	return h.Get("Sec-Fetch-Site") == "cross-site" && !opened || strings.Contains(h.Get("Sec-Purpose"), "prefetch")
}

// addressOf returns the visitor's IPv4 address or IPv6 network. It takes the last address of
// X-Forwarded-For, which the proxy in front has added: all before it is the visitor's word.
func (p *Pages) addressOf(r *http.Request) netip.Prefix {
	if lines := r.Header.Values("X-Forwarded-For"); p.forwardedFor && len(lines) > 0 {
		last := lines[len(lines)-1]
		last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		if a, err := netip.ParseAddr(last); err == nil {
			return network(a)
		}
		if ap, err := netip.ParseAddrPort(last); err == nil {
			return network(ap.Addr())
		}
	}
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // a socket has none; all who come by it are one
	return network(ap.Addr())
}

// network returns what one visitor has: whoever has IPv6 has 2^64 addresses.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	prefix, _ := a.Prefix(bits) // of no address it is none
	return prefix
}

// wordsFor returns the words in the language that the browser likes best, English for one
// that likes neither.
func wordsFor(acceptLanguage string) *words {
	if language.Preferred(acceptLanguage) == language.Chinese {
		return &chinese
	}
	return &english
}
