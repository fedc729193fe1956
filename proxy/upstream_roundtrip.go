package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/valyala/fasthttp"
)

// roundTrip sends the call with that query, from now on, and reads the head of the answer
// into resp. It sends a call again only where WeChat cannot carry it out twice:
//   - nothing of it was written, as no connection could be made: at another host;
//   - nothing of it was written, as a kept connection had ended: on a new one;
//   - GET and HEAD, before any byte of an answer: one more attempt in the call's life.
//
// WeChat may have carried out whatever failed after the first written byte. A call that
// timed out is not sent again, whatever its method.
func (u *upstream) roundTrip(now time.Time, r *request, query []byte, resp *fasthttp.Response) (*conn, error) {
	h := u.pick(now, nil)
	r.sent = false
	var unreached *host // the host that upstream.proxy could not reach
	for fresh, moved := false, false; ; now = u.now() {
		c, err := u.attempt(now, h, fresh, r, query, resp)
		if err == nil {
			h.succeeded()
			if unreached != nil && unreached != h {
				u.hostFailed(unreached) // the proxy reaches this host, so that one was at fault
			}
			return c, nil
		}
		switch u.decideRetry(h, r, c, err) {
		case retryNewConn:
			h.pool.closeIdle()
			u.metrics.UpstreamStale()
			fresh = true
		case retryOtherHost:
			next := u.pick(u.now(), h)
			if proxyFailure(err) != nil {
				unreached = h
			}
			if (next == h || moved) && (unreached != nil || !r.useRetry()) {
				return nil, err
			}
			h, moved = next, true
		case retryOnce:
			h = u.pick(u.now(), h)
		default:
			return nil, err
		}
	}
}

// attempt sends the call over one connection to h: an idle one that may carry it, or a new one.
// With an error it returns the connection that failed, closed, or nil where none could be made.
func (u *upstream) attempt(now time.Time, h *host, fresh bool, r *request, query []byte, resp *fasthttp.Response) (*conn, error) {
	for c := h.idleConn(now, fresh, r.repeatable()); c != nil; c = h.idleConn(now, fresh, r.repeatable()) {
		err := c.exchange(now, r, query, resp, u.timeout)
		if errors.Is(err, errNotSilent) {
			c.close()
			u.metrics.UpstreamStale()
			continue
		}
		return c, c.failedCall(err)
	}
	c, err := u.connect(h)
	if err != nil {
		return nil, fmt.Errorf("connect to upstream %s: %w", h.name, err)
	}
	return c, c.failedCall(c.exchange(u.now(), r, query, resp, u.timeout))
}

// failedCall closes c if its call failed with err.
func (c *conn) failedCall(err error) error {
	if err == nil {
		return nil
	}
	c.close()
	return fmt.Errorf("call upstream %s: %w", c.host.name, err)
}

// retryDecision says whether and where a failed call is sent again.
type retryDecision uint8

const (
	noRetry        retryDecision = iota
	retryNewConn                 // at the same host, on a new connection
	retryOtherHost               // at another host; for GET and HEAD, once, at the same one if there is no other
	retryOnce                    // at any host
)

// decideRetry decides what to do after an attempt at h failed with err. c is its
// connection, nil if none could be made.
func (u *upstream) decideRetry(h *host, r *request, c *conn, err error) retryDecision {
	switch {
	case errors.Is(err, errAppBody) || errors.Is(err, errAppGone) || !r.body.replayable():
		return noRetry
	case c == nil:
		return u.decideDialRetry(h, err)
	case !c.sent && !c.reused:
		u.hostFailed(h)
		return retryOtherHost
	case !c.sent:
		return retryNewConn
	case c.received:
		return noRetry
	case isTimeout(err):
		u.hostFailed(h)
		return noRetry
	case c.reused && r.useRetry():
		return retryNewConn
	case c.reused:
		return noRetry
	}
	u.hostFailed(h)
	if r.useRetry() {
		return retryOnce
	}
	return noRetry
}

// decideDialRetry decides what to do after no connection to h could be made. A failure of
// upstream.proxy itself counts against no host, and another host does not help. A host
// that the proxy cannot reach is a reason to try another.
func (u *upstream) decideDialRetry(h *host, err error) retryDecision {
	p := proxyFailure(err)
	if p == nil {
		u.hostFailed(h)
	}
	if p != nil && !p.Elsewhere {
		return noRetry
	}
	return retryOtherHost
}

// useRetry uses up the one retry of a GET or HEAD, and reports whether there was one.
func (r *request) useRetry() bool {
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
