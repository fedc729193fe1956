package proxy

import (
	"strings"

	"github.com/valyala/fasthttp"
)

// logRefusal logs a call that got an error of ours: one line, whatever went wrong.
func (s *Server) logRefusal(ctx *fasthttp.RequestCtx, r *request, f *fault) {
	level := f.level()
	if !s.log.Enabled(s.base, level) {
		return
	}
	s.log.Log(s.base, level, "call refused", append(about(ctx, r), "error", f)...)
}

// about is what the log says of a call: whose it was and where it came from, as far as
// that is known.
func about(ctx *fasthttp.RequestCtx, r *request) []any {
	caller := ""
	if r.caller != nil {
		caller = r.caller.Name
	}
	return []any{
		"request_id", string(r.id[:]), "method", string(r.method), "path", string(r.path),
		"appid", r.meantAppID(), "caller", caller, "remote", ctx.RemoteAddr().String(),
	}
}

// meantAppID returns the appid that the call is for, be it known or not; empty where it
// names none. What does not look like an appid may be anything, a secret too.
func (r *request) meantAppID() string {
	switch {
	case r.cred.key.AppID != "":
		return r.cred.key.AppID
	case r.handle != nil && r.handle.appid != "":
		return r.handle.appid
	}
	for _, appid := range []string{r.formAppID, string(r.namedAppID())} {
		if strings.HasPrefix(appid, "wx") && plausibleAppID(appid) {
			return appid
		}
	}
	return ""
}
