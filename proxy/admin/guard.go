package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// guard lets in who may act: whoever has the key or, without one, whoever reaches the
// listener by a loopback name. A web page that an operator looks at reaches loopback as
// well, so that what browsers send for other sites is refused either way.
func (a *api) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Header().Set("Cache-Control", "no-store")
		if e := a.refusal(r); e != nil {
			a.Log.Warn("an admin call was refused", "remote", remote(r), "method", clip(r.Method), "path", clip(r.URL.EscapedPath()), "error", e)
			if e.status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Basic realm="wxsidecar admin", charset="UTF-8"`)
			}
			writeError(w, e)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 2*maxBody)
		next.ServeHTTP(w, r)
	})
}

// refusal returns why a request is not served, nil if it is.
func (a *api) refusal(r *http.Request) *Error {
	switch {
	case a.KeySHA256 == nil && !isLocal(r):
		return fault(http.StatusForbidden, "forbidden_host", "the Host is no loopback name: ask by 127.0.0.1 or localhost, or set admin.key_sha256 and send the key")
	case crossSite(r):
		return fault(http.StatusForbidden, "browser_refused", "a web page of another site may not call this: its Origin or Sec-Fetch-Site came along")
	case a.KeySHA256 != nil && !a.hasKey(r):
		return fault(http.StatusUnauthorized, "wrong_key", "the operators' key is missing or wrong: send it as Authorization: Bearer, in X-Wxsidecar-Key, or as the password of Basic credentials; admin.key_sha256 has its SHA-256")
	}
	return nil
}

// hasKey compares in constant time.
func (a *api) hasKey(r *http.Request) bool {
	key := r.Header.Get("X-Wxsidecar-Key")
	if scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		key = strings.TrimSpace(value)
	}
	if _, password, ok := r.BasicAuth(); ok {
		key = password
	}
	sum := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(sum[:], a.KeySHA256[:]) == 1
}

// isLocal reports whether a request came by a socket, or by a loopback name: another name
// that leads to loopback is one that a web page chose.
func isLocal(r *http.Request) bool {
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && at.Network() == "unix" {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// crossSite reports whether a browser sent the request for a page of another site. Following a
// link to the page at / is no such request: it acts on nothing, and that site sees no answer.
func crossSite(r *http.Request) bool {
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "none", "same-origin":
	default:
		follows := r.URL.Path == "/" && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
		if !follows {
			return true
		}
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}
