package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/valyala/fasthttp"
)

// roundTrip sends the call with that query and reads the head of the answer into
// resp. It sends again only where that does no harm:
//   - nothing was sent, as no connection could be made: at another host, or for GET;
//   - a connection that had served before turns out closed without a byte of the
//     answer, and the body is kept: once, on a fresh one;
//   - the same on a fresh connection, for GET: once in the call's life.
//
// A timeout is never tried again.
func (u *upstream) roundTrip(r *request, query []byte, resp *fasthttp.Response) (*conn, error) {
	h := u.pick(nil)
	for fresh, moved := false, false; ; {
		c, err := u.connect(h, fresh, r.body.whole)
		if err != nil {
			u.hostFailed(h)
			next := u.pick(h)
			if (next == h || moved) && !r.retry() {
				return nil, fmt.Errorf("connect to upstream %s: %w", h.name, err)
			}
			h, moved = next, true
			continue
		}
		if err = c.exchange(r, query, resp, u.timeout); err == nil {
			h.succeeded()
			return c, nil
		}
		c.close()
		switch u.judge(r, c, err, fresh) {
		case sendFresh:
			h.pool.drop()
			fresh = true
		case sendElsewhere:
			h = u.pick(h)
		default:
			return nil, fmt.Errorf("call upstream %s: %w", h.name, err)
		}
	}
}

// verdict is what to do after a connection failed a call.
type verdict uint8

const (
	giveUp verdict = iota
	sendFresh
	sendElsewhere
)

// judge decides what to do after c failed a call with err.
func (u *upstream) judge(r *request, c *conn, err error, fresh bool) verdict {
	switch {
	case errors.Is(err, errAppBody) || errors.Is(err, errAppGone) || c.got || !r.body.replayable():
		return giveUp
	case isTimeout(err):
		u.hostFailed(c.host)
		return giveUp
	case c.reused && !fresh:
		u.metrics.UpstreamStale()
		return sendFresh
	}
	u.hostFailed(c.host)
	if r.retry() {
		return sendElsewhere
	}
	return giveUp
}

// retry reports whether the call may use its one more attempt, and uses it up.
func (r *request) retry() bool {
	if !r.idempotent() || r.retried {
		return false
	}
	r.retried = true
	return true
}

func (u *upstream) hostFailed(h *host) {
	if h.failed(u.now()) {
		u.metrics.UpstreamOut()
		u.log.Warn("upstream host is out", "host", h.name, "for", hostOut)
	}
}

func (r *request) idempotent() bool { return r.isGet() || r.isHead() }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
