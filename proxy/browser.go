package proxy

import "bytes"

// A web page must not reach a merchant's account through the sidecar on its reader's
// machine. Browsers name the page's site in Origin and Sec-Fetch-Site. Those without
// either, such as Safari before 16.4, name it in the Referer alone.

// browserRefused is the fault of a call whose headers show that a web page made it.
func browserRefused() *fault {
	return forbidden("browser_refused", "a web page may not call through the sidecar, and an Origin or a cross-site "+
		"Sec-Fetch-Site came along: call from the app's server; one that passes on what a browser sent leaves these out")
}

// checkReferer refuses a call that another site's page may have made: its Referer is that
// site's, and it has nothing that a page cannot send. A page cannot set X-Wechat-Appid or
// X-Wxsidecar-Key, since we allow no such headers by CORS, and it knows no handle. It can
// invent one, which names an account if no callers are configured. So a handle counts here
// only if it is genuine; otherwise the app is told to fetch a new one.
func checkReferer(r *request) *fault {
	switch {
	case !r.crossSite || r.appid != nil || r.key != nil:
		return nil
	case r.handle != nil && r.handle.genuine:
		return nil
	case r.handle != nil:
		return voidHandle()
	}
	return forbidden("browser_refused", "the call has another site's Referer, as a web page's call has, and nothing that shows "+
		"an app: name the account in the header X-Wechat-Appid, or leave the Referer out")
}

// crossSite reports whether a Referer is not on one of the hosts by which apps may call
// the sidecar.
func (s *Server) crossSite(referer []byte) bool {
	authority, plain := afterScheme(referer, "http://")
	if !plain {
		var secure bool
		if authority, secure = afterScheme(referer, "https://"); !secure {
			return true
		}
	}
	if i := bytes.IndexAny(authority, "/?#"); i >= 0 {
		authority = authority[:i]
	}
	var buf [maxHost]byte
	name, ok := hostName(buf[:0], authority)
	if !ok {
		return true
	}
	_, known := s.hosts[string(name)]
	return !known && !isLoopback(name)
}
