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
	r.access.logged = true
	s.log.Log(s.base, level, "call refused", append(r.attrs(ctx.RemoteAddr().String()), "error", f)...)
}

// attrs returns the log attributes of a call: its path, account, caller, origin and trace, as
// far as they are known.
func (r *request) attrs(remote string) []any {
	caller := ""
	if r.caller != nil {
		caller = r.caller.Name
	}
	attrs := []any{
		"request_id", string(r.id[:]), "method", string(r.method), "path", string(r.path),
		"appid", r.appIDForLog(), "component", r.componentForLog(), "caller", caller, "remote", remote,
	}
	if id := r.traceID(); id != "" {
		attrs = append(attrs, "trace_id", id)
	}
	return attrs
}

// appIDForLog returns the appid that the call names, whether we know it or not; empty for
// none. What does not look like an appid is left out, since it may be a secret.
func (r *request) appIDForLog() string {
	switch {
	case r.cred.key.AppID != "":
		return r.cred.key.AppID
	case r.handle != nil && r.handle.appID != "":
		return r.handle.appID
	}
	return firstAppID(r.formAppID, string(r.namedAppID()))
}

// componentForLog returns the component that the call acts through, or names; empty for
// none.
func (r *request) componentForLog() string {
	if r.cred.key.AppID != "" {
		return componentOf(r.cred.key)
	}
	if r.handle != nil && r.handle.appID != "" {
		return componentOf(r.handle.key())
	}
	return firstAppID(string(r.component), string(r.params.component), r.bodyComponent)
}

// firstAppID returns the first that looks like an appid; empty if none does.
func firstAppID(texts ...string) string {
	for _, appid := range texts {
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
