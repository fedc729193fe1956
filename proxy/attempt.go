package proxy

import (
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
)

// attempt sends the call once and reads the answer into resp. It returns the errcode in
// the answer: 0 if there is none, and for an answer that streams.
func (s *Server) attempt(r *request, tok *broker.Token, resp *fasthttp.Response) (int, *fault) {
	r.inject(tok)
	began := s.now()
	c, err := s.upstream.roundTrip(began, r, r.rewrite, resp)
	var st *stream
	if err == nil {
		st, err = s.upstream.receive(r, c, resp, r.bufferLimit(resp.StatusCode()))
	}
	ended := s.now()
	if st == nil && err == nil {
		s.upstream.release(c, ended)
	}
	took := ended.Sub(began)
	r.outside += took
	s.results.of(r.route.FamilyID).latency.Observe(took)
	if err != nil {
		return 0, s.noAnswerFault(r, err)
	}
	s.checkDate(&resp.Header, began, took)
	if code := resp.StatusCode(); code >= 300 && code < 400 {
		s.metrics.UpstreamRedirect()
	}
	if f := mayStream(r, st); f != nil {
		_ = st.Close()
		return 0, f
	}
	if st != nil {
		s.streamAnswer(r, resp, st)
		return 0, nil
	}
	errcode := s.inspect(r, resp)
	if errcode != 0 || resp.StatusCode() >= 300 {
		r.injected.redact(resp)
	}
	return errcode, nil
}

// inject makes the query that is sent, with tok; nil for none.
func (r *request) inject(tok *broker.Token) {
	r.rewrite = appendParam(r.rewrite[:0], r.query, r.cred.drop&r.params.present, r.cred.param)
	if tok == nil || r.cred.param == "" {
		r.injected.token, r.injected.tokenEscaped = nil, nil
		return
	}
	from := len(r.rewrite)
	if tok.Plain() {
		r.rewrite = append(r.rewrite, tok.Value()...)
		r.injected.token, r.injected.tokenEscaped = r.rewrite[from:], nil
	} else {
		r.rewrite = appendEscaped(r.rewrite, tok.Value())
		r.injected.token, r.injected.tokenEscaped = []byte(tok.Value()), r.rewrite[from:]
	}
}

// mayStream refuses an answer that is too long to be buffered and must not be streamed.
// st is nil for an answer that was buffered.
func mayStream(r *request, st *stream) *fault {
	switch {
	case st == nil:
		return nil
	case r.masked:
		// Secrets cannot be removed from what is not buffered.
		return answerTooLarge("WeChat's answer is too long to take the secrets out of it: ask for fewer accounts at once")
	case st.remaining < 0 && !r.http11:
		return answerTooLarge("WeChat's answer is long and does not say how long, and HTTP/1.0 has no chunks to pass it on in: call with HTTP/1.1")
	default:
		return nil
	}
}

// succeeded reports whether an answer shows that WeChat accepted the token. An encoded
// answer, which cannot be inspected, shows nothing.
func succeeded(resp *fasthttp.Response) bool {
	status := resp.StatusCode()
	return status >= 200 && status < 300 && !encoded(resp)
}

// bufferLimit returns the longest answer that is buffered. The limit is higher for errors
// and redirects, since they may repeat what we added to the call.
func (r *request) bufferLimit(status int) int {
	if r.masked || status >= fasthttp.StatusMultipleChoices {
		return maskBytes
	}
	return bufferBytes
}

// noAnswerFault returns the fault of a call without an answer, or with one that is truncated or
// unreadable.
func (s *Server) noAnswerFault(r *request, err error) *fault {
	var f *fault
	switch {
	case errors.Is(err, errAppGone):
		return clientGone()
	case errors.Is(err, errAppBody):
		f = bodyIncomplete()
	case errors.Is(err, errCut):
		f = answerBroken()
		f.cut = true
	default:
		s.source.ProbeWeChat()
		f = upstreamFault(r, err)
	}
	if f.cause == nil {
		f.cause = err
	}
	if f.cut {
		s.metrics.UpstreamFailure("cut")
	} else {
		s.metrics.UpstreamFailure(f.code)
	}
	return f
}

// streamAnswer passes an answer through as a stream, uninspected: errors are never that long.
func (s *Server) streamAnswer(r *request, resp *fasthttp.Response, st *stream) {
	size := -1
	if st.remaining >= 0 {
		size = int(st.remaining)
	}
	r.streaming, r.result = true, resultOK
	r.body.release(&s.memory) // a long answer may take long
	st.done = func(err error) {
		if err != nil {
			r.result = resultCut
		}
		s.finish(r)
	}
	// The stream is read only while fasthttp writes this answer to the app's connection.
	conn := r.body.conn
	st.deadline = func(t time.Time) { _ = conn.SetWriteDeadline(t) }
	resp.SetBodyStream(st, size)
}

// encoded reports whether an answer is encoded, although we ask for identity.
func encoded(resp *fasthttp.Response) bool {
	encoding := resp.Header.ContentEncoding()
	return len(encoding) > 0 && !equalFold(encoding, "identity")
}

// inspect returns the errcode in a buffered answer, and counts it.
func (s *Server) inspect(r *request, resp *fasthttp.Response) int {
	r.result = resultOK
	if encoded(resp) {
		s.metrics.UninspectedAnswer()
		return 0
	}
	errcode := findErrcode(bufferedBody(resp))
	if errcode == 0 {
		return 0
	}
	r.result, r.access.errcode = resultErrcode, errcode
	s.countErrcode(r, errcode)
	return errcode
}
