package proxy

import "bytes"

// A web page must not reach a merchant's account through the sidecar of whoever looks
// at it. Browsers say in Origin and Sec-Fetch-Site whose page makes a call; those
// that know neither, Safari before 16.4 among them, say it in the Referer alone.

// sentByPage refuses a call that says that it is a page's.
func sentByPage() *fault {
	return forbidden("browser_refused", "a web page may not call through the sidecar, and an Origin or a cross-site "+
		"Sec-Fetch-Site came along: call from the app's server; one that passes on what a browser sent leaves these out")
}

// checkReferer refuses a call that another site's page may have made: it has that
// page's address, and nothing that no page can send. A page cannot set X-Wechat-Appid
// or X-Wxsidecar-Key unless we allow it, which we never do, and knows no handle. It can
// make one up, which names an account where no callers are configured: an app whose
// handle is not genuine any more is told to fetch a new one.
func checkReferer(r *request) *fault {
	switch {
	case !r.foreignPage || r.appid != nil || r.key != nil:
		return nil
	case r.handle != nil && r.handle.genuine:
		return nil
	case r.handle != nil:
		return voidHandle()
	}
	return forbidden("browser_refused", "the call has another site's Referer, as a web page's call has, and nothing that shows "+
		"an app: name the account in the header X-Wechat-Appid, or leave the Referer out")
}

// foreign reports whether a Referer is not an address of the sidecar's own, by the
// names that the call's Host may have.
func (s *Server) foreign(referer []byte) bool {
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
