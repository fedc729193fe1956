package proxy

import "github.com/valyala/fasthttp"

// serveExpect decides on a call that waits for 100 Continue before it sends its body. It
// returns 100 if the body is to be sent; the call is then served like any other. Otherwise
// it writes the refusal into ctx and returns its status.
//
// A client that is refused may send the body or not, so the connection is closed
// (RFC 9110, 10.1.1).
func (s *Server) serveExpect(ctx *fasthttp.RequestCtx) (status int) {
	if ctx.IsConnect() {
		return fasthttp.StatusContinue
	}
	r := s.newRequest(appConnOf(ctx))
	r.app.unread.Store(true)
	defer func() {
		if status != fasthttp.StatusContinue {
			status = ctx.Response.StatusCode()
		}
	}()
	defer s.recoverPanic(ctx, r)
	f := s.checkWithoutBody(ctx, r)
	if f == nil {
		s.releaseSlots(r)
		_ = r.app.SetWriteDeadline(r.start.Add(idleTimeout)) // for the 100; an error shows again
		r.reset()
		s.requests.Put(r)
		return fasthttp.StatusContinue
	}
	f.closes = true
	s.refuse(ctx, r, f)
	ctx.Response.Header.SetCanonical(requestIDName, r.id[:])
	s.finish(r)
	return 0
}

// checkWithoutBody refuses a call that can be refused without its body. It cannot tell the
// account of a call that we answer ourselves, since the body names it.
func (s *Server) checkWithoutBody(ctx *fasthttp.RequestCtx, r *request) *fault {
	callers := s.callers.Load()
	if f := s.check(ctx, r, callers); f != nil {
		return f
	}
	if s.byRoute[r.route.ID] != nil {
		if r.body.length > formBytes {
			return bodyTooLarge(formBytes)
		}
		return nil
	}
	appid, f := s.checkAccount(r, callers)
	if f != nil {
		return f
	}
	if f := s.acquireAccount(r, appid); f != nil {
		return f
	}
	_, f = s.callToken(r)
	return f
}
