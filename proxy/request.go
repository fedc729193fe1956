package proxy

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// request is one call of an app. Its bytes are ours until the answer is written.
// Requests are pooled: nobody keeps one, or a slice of one, beyond that.
type request struct {
	id    requestID
	start time.Time
	app   *appConn
	// outside is the time that WeChat and the app took: dialling, sending, waiting, reading.
	outside time.Duration

	requestHead
	naming
	body     body
	route    *routes.Route
	cred     credential
	rewrite  []byte // the query as it was last sent
	injected injected
	progress
	access access
}

// requestHead is what the request line and the header lines say.
type requestHead struct {
	buf     []byte    // what method, path and query point into, and of naming prefix and params
	long    *lastHead // of a head that is too long for the connection's; nil before there was one
	method  []byte
	path    []byte
	query   []byte
	headers []byte // the header lines that are forwarded, as they are sent; a lastHead's
	http11  bool
	// crossSite says that the Referer is another site's.
	crossSite bool
	// traceparent is the call's place in a trace; nil if it is of none. With madeTrace we have
	// made it, in made; else its bytes are a lastHead's.
	traceparent []byte
	madeTrace   bool
	made        [traceparentLength]byte
}

// naming is what says who calls, and for whom. What header lines say of it are bytes of a lastHead.
type naming struct {
	appid       []byte // X-Wechat-Appid
	component   []byte // X-Wechat-Component
	prefix      []byte // the appid that stood before the path
	key         []byte // X-Wxsidecar-Key
	credentials []byte // Proxy-Authorization
	params      params
	// caller is who calls; nil if no callers are configured or it is not known yet.
	caller *caller
	// handle is the handle in the token parameter, if there was one.
	handle *handle
	// formAppID is the appid that the call's form named last; empty for none.
	formAppID string
	// bodyComponent is component_appid in the body, in calls whose body is read.
	bodyComponent string
	// bodyMayName is true in those calls.
	bodyMayName bool
}

// progress is how far a call has come.
type progress struct {
	counted bool  // counted by inflight
	slot    *slot // its account's slot; nil if it has none
	found   *slot // that of the appid that the call names; nil if it was not looked up
	// known is the account that the call names, where memory alone said which that is; else nil.
	known  *broker.Known
	result result
	// streaming says that the answer is streamed. The call ends when the stream does.
	streaming bool
	// masked says that the answer is buffered whole, so that secrets can be masked.
	masked bool
	// sent says that WeChat may have received some of the call, and has not refused it.
	sent bool
	// retried says that the one retry of a GET or HEAD is used up.
	retried bool
}

// credential is the token that a call takes.
type credential struct {
	// key is zero for a call that takes no token.
	key broker.Key
	// param is the name under which it is sent; empty for none.
	param string
	// drop is what is taken out of the query.
	drop paramSet
}

// reset makes r ready for the pool. It keeps the buffers, so that the next call allocates
// none, except that of a long form, which is rare.
func (r *request) reset() {
	kept := r.body.buffered[:0]
	if cap(kept) > shortBytes {
		kept = nil
	}
	buf, rewrite, pieces := r.buf[:0], r.rewrite[:0], r.body.pieces[:0]
	long := r.long
	if long != nil {
		*long = lastHead{lines: long.lines[:0], forward: long.forward[:0]}
	}
	*r = request{} // in place, while a value with all fields would be copied
	r.buf, r.rewrite, r.long = buf, rewrite, long
	r.body.buffered, r.body.pieces = kept, pieces
}

func (r *request) isGet() bool { return string(r.method) == fasthttp.MethodGet }

func (r *request) isHead() bool { return string(r.method) == fasthttp.MethodHead }

// read copies a call out of fasthttp's buffers; nothing else reads them. It refuses what
// two parsers could read differently, calls of browsers, and hosts that apps may not call.
func (s *Server) read(ctx *fasthttp.RequestCtx, r *request) *fault {
	h := &ctx.Request.Header
	if f := checkProtocol(h); f != nil {
		return f
	}
	r.http11 = h.IsHTTP11()
	t, targetFault := splitTarget(r.own(h))
	var unclear *fault
	if targetFault == nil {
		// These are set first, for the log line of a call that is refused below.
		r.prefix, r.path = cutAppIDPrefix(t.path)
		r.query = t.query
		r.params, unclear = scanQuery(t.query)
	}
	last, f := r.readHead(h.RawHeaders())
	if f != nil {
		return f
	}
	if s.makeTraces && r.traceparent == nil {
		r.makeTrace()
	}
	if c := r.app; c.intercepted && r.key == nil && r.credentials == nil {
		r.key, r.credentials = c.key, c.credentials
	}
	if targetFault != nil {
		return targetFault
	}
	if t.host != nil || !last.ours {
		if f := s.checkHost(t, h.Host(), ctx.LocalAddr()); f != nil {
			return f
		}
		last.ours = t.host == nil
	}
	if last.head.browser {
		return browserRefused()
	}
	r.crossSite = len(last.head.referer) > 0 && s.crossSite(last.head.referer)
	if unclear != nil {
		return unclear
	}
	length := h.ContentLength()
	if length == lengthNone {
		r.body.open(nil, r.app, length, s.now)
	} else {
		r.body.open(ctx.RequestBodyStream(), r.app, length, s.now)
	}
	return nil
}

// own copies the method and the request target into r's buffer, and returns the target.
func (r *request) own(h *fasthttp.RequestHeader) (target []byte) {
	method := h.Method()
	n := len(method)
	r.buf = append(append(r.buf[:0], method...), h.RequestURI()...)
	r.method = r.buf[:n:n]
	return r.buf[n:]
}

// readHead reads the raw header lines, and returns where what they say is: the connection has it,
// unless they are too long for it to remember.
func (r *request) readHead(raw []byte) (*lastHead, *fault) {
	last := r.long
	switch {
	case r.app != nil && len(raw) <= lastHeadBytes:
		last = &r.app.last
	case last == nil:
		last = &lastHead{}
		r.long = last
	}
	f := last.read(raw)
	h := &last.head
	r.headers = last.forward
	r.appid, r.component, r.key, r.credentials, r.traceparent = h.appid, h.component, h.key, h.credentials, h.traceparent
	return last, f
}

func checkProtocol(h *fasthttp.RequestHeader) *fault {
	switch string(h.Protocol()) {
	case "HTTP/1.1", "HTTP/1.0":
	default:
		return badRequest("the protocol must be HTTP/1.1 or HTTP/1.0")
	}
	switch method := h.Method(); {
	case string(method) == fasthttp.MethodTrace || string(method) == fasthttp.MethodConnect:
		return badRequest("the method is not forwarded")
	default:
		for _, c := range method {
			if c < 'A' || c > 'Z' {
				return badRequest("the method must be upper-case letters")
			}
		}
	}
	return nil
}

const requestIDBytes = 20

// requestID names one call in the log and in its answer: eight digits of the
// process, a hyphen, and eleven of the call.
type requestID [requestIDBytes]byte

func (id *requestID) set(process uint32, n uint64) {
	const digits = "0123456789abcdef"
	for i := 7; i >= 0; i-- {
		id[i] = digits[process&15]
		process >>= 4
	}
	id[8] = '-'
	for i := requestIDBytes - 1; i > 8; i-- {
		id[i] = digits[n&15]
		n >>= 4
	}
}

// newRequest returns a call that begins now on app.
func (s *Server) newRequest(app *appConn) *request {
	r := s.requests.Get().(*request)
	r.app = app
	r.start, r.result = s.now(), resultRefused
	r.id.set(s.process, s.calls.Add(1))
	r.route = s.noRoute
	return r
}

var requestIDName = []byte(headerRequestID)
