package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/valyala/fasthttp"
)

// roundTrip sends the call with that query and reads the head of the answer into
// resp. It sends a call again only where WeChat cannot carry it out twice:
//   - nothing of it was written, as no connection could be made: at another host;
//   - nothing of it was written, as a kept connection had ended: on a new one;
//   - GET and HEAD, before any byte of an answer: one more attempt in the call's life.
//
// Whatever ends after the first written byte may have been carried out, and a call
// that timed out is not tried again, whatever its method.
func (u *upstream) roundTrip(r *request, query []byte, resp *fasthttp.Response) (*conn, error) {
	h := u.pick(nil)
	r.sent = false
	var unreached *host // by upstream.proxy
	for fresh, moved := false, false; ; {
		c, err := u.attempt(h, fresh, r, query, resp)
		if err == nil {
			h.succeeded()
			if unreached != nil && unreached != h {
				u.hostFailed(unreached) // as the proxy reaches this one
			}
			return c, nil
		}
		switch u.judge(h, r, c, err) {
		case sendFresh:
			h.pool.drop()
			u.metrics.UpstreamStale()
			fresh = true
		case sendElsewhere:
			next := u.pick(h)
			if proxyFailure(err) != nil {
				unreached = h
			}
			if (next == h || moved) && (unreached != nil || !r.retry()) {
				return nil, err
			}
			h, moved = next, true
		case sendOnceMore:
			h = u.pick(h)
		default:
			return nil, err
		}
	}
}

// attempt sends the call over one connection to h. With an error it returns the
// connection that failed, closed, or nil where none could be made.
func (u *upstream) attempt(h *host, fresh bool, r *request, query []byte, resp *fasthttp.Response) (*conn, error) {
	c, err := u.connect(h, fresh, r.repeatable())
	if err != nil {
		return nil, fmt.Errorf("connect to upstream %s: %w", h.name, err)
	}
	err = c.exchange(r, query, resp, u.timeout)
	if err != nil {
		c.close()
		err = fmt.Errorf("call upstream %s: %w", h.name, err)
	}
	return c, err
}

// verdict is what to do after an attempt failed.
type verdict uint8

const (
	giveUp        verdict = iota
	sendFresh             // to the same host, on a new connection
	sendElsewhere         // to another host; for GET and HEAD, once, to the same where there is no other
	sendOnceMore          // to any host
)

// judge decides what to do after an attempt at h failed with err. c is its connection;
// nil where none could be made.
func (u *upstream) judge(h *host, r *request, c *conn, err error) verdict {
	switch {
	case errors.Is(err, errAppBody) || errors.Is(err, errAppGone) || !r.body.replayable():
		return giveUp
	case c == nil:
		return u.judgeDial(h, err)
	case !c.wrote && !c.reused:
		u.hostFailed(h)
		return sendElsewhere
	case !c.wrote:
		return sendFresh
	case c.got:
		return giveUp
	case isTimeout(err):
		u.hostFailed(h)
		return giveUp
	case c.reused && r.retry():
		return sendFresh
	case c.reused:
		return giveUp
	}
	u.hostFailed(h)
	if r.retry() {
		return sendOnceMore
	}
	return giveUp
}

// judgeDial decides what to do after no connection to h could be made. What fails on
// the way, at upstream.proxy, counts against no host, and another host is no cure for
// it, unless it is this one that the proxy does not reach.
func (u *upstream) judgeDial(h *host, err error) verdict {
	p := proxyFailure(err)
	if p == nil {
		u.hostFailed(h)
	}
	if p != nil && !p.Elsewhere {
		return giveUp
	}
	return sendElsewhere
}

// retry reports whether the call may use its one more attempt, and uses it up.
func (r *request) retry() bool {
	if !r.idempotent() || r.retried {
		return false
	}
	r.retried = true
	return true
}

// idempotent reports whether the call may be carried out twice (RFC 9110, 9.2.2). PUT
// and DELETE do not count: nobody knows what WeChat makes of them.
func (r *request) idempotent() bool { return r.isGet() || r.isHead() }

// repeatable reports whether the call may be sent again after some of it was written.
func (r *request) repeatable() bool { return r.idempotent() && r.body.whole }

// uncertain reports whether WeChat may have carried the call out, and must not carry
// it out twice.
func (r *request) uncertain() bool { return r.sent && !r.idempotent() }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
