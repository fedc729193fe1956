package proxy

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// What became of a call with a stale token, in wxsidecar_replays_total.
const (
	replayCured      = "cured"
	replayStillStale = "still_stale"
	replayTooBig     = "body_too_large"
	replayRefused    = "refused"
)

// forward sends the call with its token. If WeChat refuses the token, forward sends the
// call once more with a newer one.
func (s *Server) forward(r *request, resp *fasthttp.Response) *fault {
	if f := s.bufferBody(r, s.limits.ReplayBody); f != nil {
		return f
	}
	if !r.body.whole && r.body.length == lengthChunked {
		// WeChat answers 412 to a chunked body, and the length is not known.
		return chunkedNotBuffered(r.body.notBuffered, s.limits.ReplayBody)
	}
	tok, f := s.callToken(r)
	if f != nil {
		return f
	}
	settled := tok.Settled()
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
			if !settled && errcode == 0 && succeeded(resp) {
				tok.Served(r.path, replayed.times > 0)
			}
			if replayed.times > 0 {
				s.metrics.Replay(replayCured)
			}
			return nil
		}
		next, f := s.nextToken(r, tok, errcode, &replayed, resp)
		if f != nil || next == nil {
			return f
		}
		tok, settled = next, false
		replayed.times++
	}
}

// replay counts the replays of a call whose token was refused.
type replay struct {
	first time.Time // when it was first refused; zero if it was not
	times int       // how often it was sent again
}

// mostReplays bounds how often a call is sent again. One replay is the rule. There are
// more if the token of the replay was itself replaced before it was refused, and for
// stable tokens.
const mostReplays = 3

// nextToken reports a stale token and returns the one for the next attempt, or nil if the
// answer is to be passed on. The broker decides whether another token can help.
//
// An own account's stable token comes back unchanged while WeChat considers it valid. So
// the next attempt uses the same value, and the one after another refusal uses the token
// that the broker then forces.
func (s *Server) nextToken(r *request, tok *broker.Token, errcode int, sofar *replay, resp *fasthttp.Response) (*broker.Token, *fault) {
	key := tok.Key()
	refusal := broker.Refusal{Errcode: errcode, Path: string(r.path), First: sofar.first, Final: !r.body.whole}
	if sofar.times == 0 {
		sofar.first = s.source.Now()
	}
	reported := s.source.Report(key, tok.Generation, refusal)
	r.sent = false // WeChat refused the call
	if !r.body.whole {
		s.metrics.Replay(replayTooBig)
		resp.Header.Set(headerReplay, r.body.notBuffered)
		return nil, nil
	}
	if sofar.times > 0 && !reported || sofar.times == mostReplays {
		s.metrics.Replay(replayStillStale)
		return nil, nil
	}
	if !reported {
		s.metrics.Replay(replayRefused) // the broker obtains no other token
		return nil, nil
	}
	next, err := s.source.TokenAfter(s.tokenContext(), key, tok.Generation)
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
