package proxy

import (
	"log/slog"
	"time"

	"github.com/valyala/fasthttp"
)

// AccessMessage is the message of the line that each call is logged in while
// [Options.AccessLog] is set.
const AccessMessage = "call"

// access is what the line of a call needs that its end does not know.
type access struct {
	wanted bool
	logged bool   // the call has a line already: it was refused
	remote string // the app's address
	status int
	// errcode is the last that WeChat answered with; 0 for none.
	errcode int
}

// wantAccess notes where a call comes from if each is to be logged. Without that it costs a
// look at a flag.
func (s *Server) wantAccess(ctx *fasthttp.RequestCtx, r *request) {
	if s.accessLog != nil && s.accessLog.Load() {
		r.access.wanted, r.access.remote = true, ctx.RemoteAddr().String()
	}
}

// logAccess logs a call that has ended, unless it has a line already.
func (s *Server) logAccess(r *request, total time.Duration) {
	a := &r.access
	if !a.wanted || a.logged || !s.log.Enabled(s.base, slog.LevelInfo) {
		return
	}
	s.log.Log(s.base, slog.LevelInfo, AccessMessage, append(r.attrs(a.remote),
		"status", a.status, "errcode", a.errcode, "result", resultNames[r.result],
		"took", total.Round(time.Microsecond), "own", max(total-r.outside, 0).Round(time.Microsecond))...)
}
