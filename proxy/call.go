package proxy

import (
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// serve takes a call through all steps. A fault is the answer; without one the
// answer is in ctx.Response.
func (s *Server) serve(ctx *fasthttp.RequestCtx, r *request) *fault {
	callers := s.callers.Load()
	if f := s.check(ctx, r, callers); f != nil {
		return f
	}
	if serveLocal, local := s.local[r.route.Pattern]; local {
		return serveLocal(r, callers, &ctx.Response)
	}
	return s.serveAccount(r, callers, &ctx.Response)
}

// check reads the head of a call, and refuses what can be refused without knowing
// whose call it is.
func (s *Server) check(ctx *fasthttp.RequestCtx, r *request, callers *callers) *fault {
	if f := s.read(ctx, r); f != nil {
		// Where a request could be read in two ways, what follows it could be too.
		f.closes = true
		return f
	}
	if f := s.inflight.enter(); f != nil {
		return f
	}
	r.entered = true
	r.route = s.table.Match(r.path).For(r.query)
	if !r.route.Catalogued && s.resembles(r.path) {
		return badRequest("the path differs from one that the sidecar treats specially only in upper and lower case: spell it as WeChat does")
	}
	if r.params.blank != "" && r.route.Kind != routes.User {
		return holdsNo("appid", r.params.blank)
	}
	s.readHandle(r, callers)
	if _, local := s.local[r.route.Pattern]; r.voidHandle() && !local {
		return voidHandle()
	}
	if f := checkReferer(r); f != nil {
		return f
	}
	return callers.admit(r, takesSecret(r.route.Pattern))
}

// resembles reports whether a path is one of those with a treatment of their own
// but for the case of its letters: nobody knows whether WeChat tells them apart,
// and their answers may hold secrets.
func (s *Server) resembles(path []byte) bool {
	var buf [64]byte // the longest of them is shorter
	path = withoutSlash(path)
	if len(path) > len(buf) {
		return false
	}
	for i, c := range path {
		buf[i] = lower(c)
	}
	_, found := s.local[string(buf[:len(path)])]
	return found
}

// readHandle reads the handle in the token parameter. On paths of a user's token
// the parameter is not ours to read.
func (s *Server) readHandle(r *request, c *callers) {
	if r.route.Kind != routes.User && isHandle(r.params.token) {
		r.handle = s.keys.read(r.params.token, c)
	}
}

// voidHandle reports whether the token parameter holds a void handle. Where we answer
// ourselves it counts as any placeholder, else as a dead token.
func (r *request) voidHandle() bool { return r.handle != nil && r.handle.void }

// serveAccount serves a call that goes to WeChat with an account's token.
func (s *Server) serveAccount(r *request, c *callers, resp *fasthttp.Response) *fault {
	appid, f := s.checkAccount(r, c)
	if f != nil {
		return f
	}
	return s.forwardFor(r, resp, appid)
}

// checkAccount finds out whose call it is, and refuses what the caller may not do.
func (s *Server) checkAccount(r *request, c *callers) (appid string, f *fault) {
	if f := s.identify(r); f != nil {
		return "", f
	}
	appid = r.cred.key.AppID
	return appid, c.mayCall(r, appid)
}

// forwardFor forwards a call that counts among those of the account appid; empty for
// nobody's.
func (s *Server) forwardFor(r *request, resp *fasthttp.Response, appid string) *fault {
	if f := s.enterAccount(r, appid); f != nil {
		return f
	}
	return s.forward(r, resp)
}

func (s *Server) enterAccount(r *request, appid string) (f *fault) {
	if appid != "" {
		r.slot, f = s.inflight.enterAccount(appid)
	}
	return f
}

// refuse answers with an error of our own.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, r *request, f *fault) {
	resp := &ctx.Response
	if r.uncertain() {
		f.uncertain()
	}
	r.result = f.result()
	s.metrics.AppError(f.code)
	f.write(resp, s.errorsAs200)
	if !f.closes {
		s.drain(r)
	}
	if f.closes {
		resp.SetConnectionClose()
	}
	if r.caller == nil {
		r.caller = s.callers.Load().named(r) // it may be refused before that is looked at
	}
	s.logRefusal(ctx, r, f)
}

// drain reads away what the app still sends of a call that has its answer. The call
// holds nothing meanwhile: who sends slowly must not keep others out.
func (s *Server) drain(r *request) {
	if r.body.conn == nil || r.body.whole {
		return
	}
	s.leave(r)
	began := s.now()
	r.body.discard()
	r.outside += s.now().Sub(began) // the app's time
}

// leave gives back what a call holds of what is limited.
func (s *Server) leave(r *request) {
	r.body.release(&s.memory)
	if r.slot != nil {
		r.slot.leave()
		r.slot = nil
	}
	if r.entered {
		s.inflight.leave()
		r.entered = false
	}
}

// finish ends a call: it is counted, and what it held goes back.
func (s *Server) finish(r *request) {
	total := s.now().Sub(r.start)
	s.results.count(r.route.FamilyID, r.result)
	s.metrics.AppRequestTime(total, max(total-r.outside, 0))
	s.leave(r)
	r.reset()
	s.requests.Put(r)
}

// unreadable answers what fasthttp could not read.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	f := badRequest("the request cannot be read as HTTP/1.1")
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		f.status, f.code, f.message = fasthttp.StatusRequestHeaderFieldsTooLarge, "head_too_large", "the request's head has more than 16 KiB"
	case isTimeout(err):
		f.status, f.code, f.message = fasthttp.StatusRequestTimeout, "request_timeout", "the request did not come in time"
	}
	s.refuseUnread(ctx, &request{}, f, s.errorsAs200)
}

// refuseUnread answers with an error of our own where there is no call to serve. r holds
// what was read nonetheless.
func (s *Server) refuseUnread(ctx *fasthttp.RequestCtx, r *request, f *fault, as200 bool) {
	s.metrics.AppError(f.code)
	leaveUnread(ctx.Conn(), true)
	f.write(&ctx.Response, as200)
	r.id.set(s.process, s.calls.Add(1))
	ctx.Response.Header.SetCanonical(requestIDName, r.id[:])
	s.logRefusal(ctx, r, f)
}
