package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// TokenSource is what the data path needs of the broker.
// [github.com/wxsidecar/wxsidecar/broker.Broker] implements it and says what each
// method promises. The texts that it is given may be kept.
type TokenSource interface {
	Token(ctx context.Context, key broker.Key) (*broker.Token, error)
	TokenAfter(ctx context.Context, key broker.Key, generation uint64) (*broker.Token, error)
	Report(key broker.Key, generation uint64, r broker.Refusal) bool
	Account(ctx context.Context, appid string) (broker.Account, error)
	OnlyAccount(ctx context.Context) (broker.Account, error)
	OnlyComponent() (string, bool)
	Now() time.Time
}

// What became of a call with a stale token, in wxsidecar_replays_total.
const (
	replayCured      = "cured"
	replayStillStale = "still_stale"
	replayTooBig     = "body_too_large"
	replayRefused    = "refused"
)

// forward sends the call with its token, and once more with a newer one if WeChat
// says that the token was the fault.
func (s *Server) forward(r *request, resp *fasthttp.Response) *fault {
	if f := s.keepBody(r, s.limits.ReplayBody); f != nil {
		return f
	}
	if !r.body.whole && r.body.length == lengthChunked {
		// WeChat answers 412 to chunks, and the length is not known.
		return chunkedNotKept(r.body.notKept, s.limits.ReplayBody)
	}
	tok, f := s.token(r.cred.key)
	if f != nil {
		return f
	}
	var replayed replay
	for {
		errcode, f := s.attempt(r, tok, resp)
		switch {
		case f != nil:
			return f
		case errcode == errcodeBusy && r.idempotent() && !r.retried:
			r.retried = true
			continue
		case tok == nil || !wechat.Stale(errcode):
			if tok != nil && errcode == 0 && succeeded(resp) {
				tok.Served(r.path, replayed.times > 0)
			}
			if replayed.times > 0 {
				s.metrics.Replay(replayCured)
			}
			return nil
		}
		next, f := s.renew(r, tok, errcode, &replayed, resp)
		if f != nil || next == nil {
			return f
		}
		tok = next
		replayed.times++
	}
}

// replay is what is known of a call that was refused for its token.
type replay struct {
	first time.Time // when it was first refused; zero for not yet
	times int       // sent again
}

// mostReplays bounds how often a call is sent again. One replay is the rule; there are
// more where the token of the replay was no longer in force when it was refused, and
// for a stable token.
const mostReplays = 3

// succeeded reports whether an answer shows that WeChat took the token. One that could
// not be inspected shows nothing.
func succeeded(resp *fasthttp.Response) bool {
	status := resp.StatusCode()
	return status >= 200 && status < 300 && !encoded(resp)
}

// keepBody reads a body of at most limit bytes. The time for what fasthttp has not
// read yet is the app's.
func (s *Server) keepBody(r *request, limit int) *fault {
	if r.body.whole || r.body.preread() {
		return r.body.keep(limit, &s.memory)
	}
	began := s.now()
	f := r.body.keep(limit, &s.memory)
	r.outside += s.now().Sub(began)
	return f
}

// token returns a living token of key; nil for a call that takes none.
func (s *Server) token(key broker.Key) (*broker.Token, *fault) {
	if key.Kind == 0 {
		return nil, nil
	}
	tok, err := s.source.Token(s.waiting(), key)
	if err != nil {
		return nil, brokerFault(err, key.AppID)
	}
	return tok, nil
}

// attempt sends the call once and takes the answer into resp. It returns the
// errcode in it; 0 where there is none, or where the answer streams.
func (s *Server) attempt(r *request, tok *broker.Token, resp *fasthttp.Response) (int, *fault) {
	value := ""
	if tok != nil {
		value = tok.Value()
	}
	r.rewrite = appendQuery(r.rewrite[:0], r.query, r.cred.drop&r.params.named, r.cred.param, value)
	r.hidden.setToken(value, r.rewrite)
	began := s.now()
	c, err := s.upstream.roundTrip(r, r.rewrite, resp)
	var st *stream
	if err == nil {
		st, err = s.upstream.receive(r, c, resp, r.bufferLimit(resp.StatusCode()))
	}
	r.outside += s.now().Sub(began)
	if err != nil {
		return 0, s.unanswered(r, err)
	}
	if code := resp.StatusCode(); code >= 300 && code < 400 {
		s.metrics.UpstreamRedirect()
	}
	if f := mayStream(r, st); f != nil {
		_ = st.Close()
		return 0, f
	}
	if st != nil {
		s.pass(r, resp, st)
		return 0, nil
	}
	errcode := s.look(r, resp)
	if errcode != 0 || resp.StatusCode() >= 300 {
		r.hidden.cover(resp)
	}
	return errcode, nil
}

// mayStream refuses an answer that is too long to be held and may not pass through
// either. st is nil for one that was held.
func mayStream(r *request, st *stream) *fault {
	switch {
	case st == nil:
		return nil
	case r.captured:
		// What cannot be held cannot be cleaned of secrets.
		return answerTooLarge("WeChat's answer is too long to take the secrets out of it: ask for fewer accounts at once")
	case st.left < 0 && !r.http11:
		return answerTooLarge("WeChat's answer is long and does not say how long, and HTTP/1.0 has no chunks to pass it on in: call with HTTP/1.1")
	default:
		return nil
	}
}

// bufferLimit is how much of an answer is held. Errors and redirects are too, since
// they may repeat what we added to the call.
func (r *request) bufferLimit(status int) int {
	if r.captured || status >= fasthttp.StatusMultipleChoices {
		return captureBytes
	}
	return bufferBytes
}

// unanswered words why a call has no whole answer, or none that can be read.
func (s *Server) unanswered(r *request, err error) *fault {
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
		f = upstreamFault(r, err)
	}
	f.cause = err
	if f.cut {
		s.metrics.UpstreamFailure("cut")
	} else {
		s.metrics.UpstreamFailure(f.code)
	}
	return f
}

// pass lets an answer stream through, uninspected: errors are never that long.
func (s *Server) pass(r *request, resp *fasthttp.Response, st *stream) {
	size := -1
	if st.left >= 0 {
		size = int(st.left)
	}
	r.streaming, r.result = true, resultOK
	r.body.release(&s.memory) // a long answer may take its time
	st.done = func(err error) {
		if err != nil {
			r.result = resultCut
		}
		s.finish(r)
	}
	// The body's reader is called only while the app's connection is ours.
	conn := r.body.conn
	st.deadline = func(t time.Time) { _ = conn.SetWriteDeadline(t) }
	resp.SetBodyStream(st, size)
}

// encoded reports whether an answer is encoded, although identity was asked for.
func encoded(resp *fasthttp.Response) bool {
	encoding := resp.Header.ContentEncoding()
	return len(encoding) > 0 && !equalFold(encoding, "identity")
}

// look finds the errcode in an answer that was held, and counts it.
func (s *Server) look(r *request, resp *fasthttp.Response) int {
	r.result = resultOK
	if encoded(resp) {
		s.metrics.UninspectedAnswer()
		return 0
	}
	errcode := findErrcode(held(resp))
	if errcode == 0 {
		return 0
	}
	r.result = resultErrcode
	s.countErrcode(r, errcode)
	return errcode
}

// renew reports a stale token and returns the one to try next; nil to pass the
// answer on. The broker judges whether another token can help.
//
// An own account's stable token comes back unchanged while WeChat still calls it
// good, so there one more attempt goes with the same value, and after another
// refusal one with what the broker then forces.
func (s *Server) renew(r *request, tok *broker.Token, errcode int, sofar *replay, resp *fasthttp.Response) (*broker.Token, *fault) {
	key := tok.Key()
	refusal := broker.Refusal{Errcode: errcode, Path: string(r.path), First: sofar.first, Final: !r.body.whole}
	if sofar.times == 0 {
		sofar.first = s.source.Now()
	}
	reported := s.source.Report(key, tok.Generation, refusal)
	r.sent = false // WeChat refused the call
	if !r.body.whole {
		s.metrics.Replay(replayTooBig)
		resp.Header.Set(headerReplay, r.body.notKept)
		return nil, nil
	}
	if sofar.times > 0 && !reported || sofar.times == mostReplays {
		s.metrics.Replay(replayStillStale)
		return nil, nil
	}
	if !reported {
		s.metrics.Replay(replayRefused) // no other token is coming
		return nil, nil
	}
	next, err := s.source.TokenAfter(s.waiting(), key, tok.Generation)
	if err != nil {
		s.metrics.Replay(replayRefused)
		return nil, brokerFault(err, key.AppID)
	}
	if next.Generation == tok.Generation && (key.Kind != broker.KindAccount || sofar.times > 0) {
		s.metrics.Replay(replayRefused)
		return nil, nil
	}
	s.log.Info("token was stale, the call is sent again", "request_id", string(r.id[:]),
		"errcode", errcode, "was", tok, "now", next)
	return next, nil
}
