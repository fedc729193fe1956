package proxy

import (
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// serve serves a call. The answer is the fault, or what is in ctx.Response if there is
// none.
func (s *Server) serve(ctx *fasthttp.RequestCtx, r *request) *fault {
	callers := s.callers.Load()
	if f := s.check(ctx, r, callers); f != nil {
		return f
	}
	if serveLocal := s.byRoute[r.route.ID]; serveLocal != nil {
		return serveLocal(r, callers, &ctx.Response)
	}
	return s.serveAccount(r, callers, &ctx.Response)
}

// check reads the head of a call and refuses it if that is possible without knowing its
// account.
func (s *Server) check(ctx *fasthttp.RequestCtx, r *request, callers *callers) *fault {
	if f := s.read(ctx, r); f != nil {
		// If a request could be read in two ways, so could what follows it.
		f.closes = true
		return f
	}
	if f := s.inflight.acquire(); f != nil {
		return f
	}
	r.counted = true
	r.route = s.table.Match(r.path).For(r.query)
	if !r.route.Catalogued && s.differsInCase(r.path) {
		return badRequest("the path differs from one that the sidecar treats specially only in upper and lower case: spell it as WeChat does")
	}
	if r.params.blank != "" && r.route.Kind != routes.User {
		return blankValue("appid", r.params.blank)
	}
	s.readHandle(r, callers)
	if r.voidHandle() && s.byRoute[r.route.ID] == nil {
		return voidHandle()
	}
	if f := checkReferer(r); f != nil {
		return f
	}
	if len(callers.all) == 0 {
		return nil // as admit does, but whether the path takes a secret need not be looked up
	}
	return callers.admit(r, takesSecret(r.route.Pattern))
}

// differsInCase reports whether a path differs from one with a handler of its own at most in
// the case of its letters. WeChat may treat them alike, and their answers may have secrets.
func (s *Server) differsInCase(path []byte) bool {
	var buf [64]byte // the longest of them is shorter
	path = withoutSlash(path)
	if len(path) > len(buf) || !hasUpper(path) { // those with a handler have none
		return false
	}
	for i, c := range path {
		buf[i] = lower(c)
	}
	_, found := s.local[string(buf[:len(path)])]
	return found
}

// readHandle reads the handle in the token parameter, and finds its account's slot where the handle
// is ours: apps cannot make those, so they cannot have slots made without end. On paths of a user's
// token the parameter is the app's own.
func (s *Server) readHandle(r *request, c *callers) {
	if r.route.Kind == routes.User || !isHandle(r.params.token) {
		return
	}
	if h, at := c.handles.get(r.params.token); h != nil {
		r.handle, r.found = h, at
		return
	}
	r.handle = s.keys.verify(r.params.token, c, s.source.Components())
	if r.handle.genuine {
		r.found = s.inflight.slotOf(r.handle.appID)
		c.handles.put(r.params.token, r.handle, r.found)
	}
}

// voidHandle reports whether the token parameter is a void handle. Such a call is refused
// as with an expired token, unless we answer it ourselves, where any token is accepted.
func (r *request) voidHandle() bool { return r.handle != nil && r.handle.void }

// serveAccount serves a call that goes to WeChat with an account's token.
func (s *Server) serveAccount(r *request, c *callers, resp *fasthttp.Response) *fault {
	appid, f := s.checkAccount(r, c)
	if f != nil {
		return f
	}
	return s.forwardFor(r, resp, appid)
}

// checkAccount returns the account of a call, and refuses what its caller may not do.
func (s *Server) checkAccount(r *request, c *callers) (appid string, f *fault) {
	if f := s.identify(r); f != nil {
		return "", f
	}
	appid = r.cred.key.AppID
	return appid, c.mayCall(r, appid, componentOf(r.cred.key))
}

// forwardFor forwards a call and counts it among those of the account appid; empty for no
// account.
func (s *Server) forwardFor(r *request, resp *fasthttp.Response, appid string) *fault {
	if f := s.acquireAccount(r, appid); f != nil {
		return f
	}
	return s.forward(r, resp)
}

// acquireAccount counts a call among those of appid, unless that is empty.
func (s *Server) acquireAccount(r *request, appid string) (f *fault) {
	if appid != "" {
		r.slot, f = s.inflight.acquireAccount(appid, r.foundSlot(appid))
	}
	return f
}

// foundSlot returns the slot of the account appid if that is whose slot was found, else nil.
func (r *request) foundSlot(appid string) *slot {
	// The appid of what memory knows is mostly the same string, of which then no byte is read.
	if r.known != nil && r.known.Key().AppID == appid || r.found != nil && r.found.appid == appid {
		return r.found
	}
	return nil
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
		s.discardBody(r)
	}
	if f.closes {
		resp.SetConnectionClose()
	}
	if r.caller == nil {
		r.caller = s.callers.Load().find(r) // for the log; the call may be refused before it is admitted
	}
	s.logRefusal(ctx, r, f)
}

// discardBody discards what the app still sends of a call that has its answer. It releases
// the call's slots first, so that a slow sender does not keep others out.
func (s *Server) discardBody(r *request) {
	if r.body.conn == nil || r.body.whole {
		return
	}
	s.releaseSlots(r)
	began := s.now()
	r.body.discard()
	r.outside += s.now().Sub(began) // the app's time
}

// releaseSlots gives back what a call holds of the limited resources.
func (s *Server) releaseSlots(r *request) {
	r.body.release(&s.memory)
	if r.slot != nil {
		r.slot.release()
		r.slot = nil
	}
	if r.counted {
		s.inflight.release()
		r.counted = false
	}
}

// finish counts a call that has ended, releases what it holds and puts r into the pool.
func (s *Server) finish(r *request) {
	now := s.now()
	total := now.Sub(r.start)
	s.results.count(r.route.FamilyID, r.result)
	s.metrics.AppRequestTime(total, max(total-r.outside, 0))
	s.countCaller(r, total)
	s.logAccess(r, total)
	s.releaseSlots(r)
	r.app.rest(now, keepAlive)
	r.reset()
	s.requests.Put(r)
}

// refuseMalformed answers a request that fasthttp could not parse.
func (s *Server) refuseMalformed(ctx *fasthttp.RequestCtx, err error) {
	f := badRequest("the request cannot be read as HTTP/1.1")
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		f.status, f.code, f.message = fasthttp.StatusRequestHeaderFieldsTooLarge, "head_too_large", "the request's head has more than 16 KiB"
	case isTimeout(err):
		f.status, f.code, f.message = fasthttp.StatusRequestTimeout, "request_timeout", "the request did not come in time"
	}
	s.refuseEarly(ctx, &request{}, f, s.errorsAs200)
}

// refuseEarly answers with an error of our own where there is no call to serve. r has what
// was read, for the log.
func (s *Server) refuseEarly(ctx *fasthttp.RequestCtx, r *request, f *fault, as200 bool) {
	s.metrics.AppError(f.code)
	app := appConnOf(ctx)
	app.unread.Store(true)
	_ = app.SetWriteDeadline(s.now().Add(idleTimeout)) // an error shows again at the write
	f.write(&ctx.Response, as200)
	r.id.set(s.process, s.calls.Add(1))
	ctx.Response.Header.SetCanonical(requestIDName, r.id[:])
	s.logRefusal(ctx, r, f)
}
