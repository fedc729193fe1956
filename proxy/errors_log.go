package proxy

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/valyala/fasthttp"
)

// logRefusal logs a call that was answered with an error of ours, in one line.
func (s *Server) logRefusal(ctx *fasthttp.RequestCtx, r *request, f *fault) {
	level := f.level()
	if !s.log.Enabled(s.base, level) {
		return
	}
	s.log.Log(s.base, level, "call refused", append(callAttrs(ctx, r), "error", f)...)
}

// callAttrs returns the log attributes of a call: its path, account, caller and origin, as far
// as they are known.
func callAttrs(ctx *fasthttp.RequestCtx, r *request) []any {
	caller := ""
	if r.caller != nil {
		caller = r.caller.Name
	}
	return []any{
		"request_id", string(r.id[:]), "method", string(r.method), "path", string(r.path),
		"appid", r.appIDForLog(), "caller", caller, "remote", ctx.RemoteAddr().String(),
	}
}

// appIDForLog returns the appid that the call names, whether we know it or not; empty for
// none. What does not look like an appid is left out, since it may be a secret.
func (r *request) appIDForLog() string {
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

// httpLogger receives fasthttp's log lines.
type httpLogger struct{ log *slog.Logger }

// Printf implements [fasthttp.Logger].
func (l httpLogger) Printf(format string, args ...any) {
	l.log.Debug("http server: " + fmt.Sprintf(format, args...))
}
