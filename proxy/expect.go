package proxy

import "github.com/valyala/fasthttp"

// expect answers the head of a call that waits until it is asked for its body
// ("Expect: 100-continue"). It returns 100 where the call is to send it, and is then
// served as any other; else the refusal stands in ctx, and its status is returned.
//
// A client that is refused may leave the body out or send it nonetheless, so the
// connection ends (RFC 9110, 10.1.1).
func (s *Server) expect(ctx *fasthttp.RequestCtx) (status int) {
	if ctx.IsConnect() {
		return fasthttp.StatusContinue
	}
	r := s.newRequest()
	leaveUnread(ctx.Conn(), true)
	defer func() {
		if status != fasthttp.StatusContinue {
			status = ctx.Response.StatusCode()
		}
	}()
	defer s.guard(ctx, r)
	f := s.checkWithoutBody(ctx, r)
	if f == nil {
		s.leave(r)
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

// checkWithoutBody refuses what can be refused without the body. Where we answer
// ourselves the body says whose call it is.
func (s *Server) checkWithoutBody(ctx *fasthttp.RequestCtx, r *request) *fault {
	callers := s.callers.Load()
	if f := s.check(ctx, r, callers); f != nil {
		return f
	}
	if _, local := s.local[r.route.Pattern]; local {
		if r.body.length > formBytes {
			return bodyTooLarge(formBytes)
		}
		return nil
	}
	appid, f := s.checkAccount(r, callers)
	if f != nil {
		return f
	}
	if f := s.enterAccount(r, appid); f != nil {
		return f
	}
	_, f = s.token(r.cred.key)
	return f
}
