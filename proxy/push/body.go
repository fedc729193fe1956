package push

import (
	"errors"
	"io"
	"net/http/httputil"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// bodyTime is how long a body may take, waiting for room included. WeChat gives up
// after five seconds.
const bodyTime = 5 * time.Second

var (
	errTooLarge = errors.New("the body is longer than 1 MiB")
	errCutOff   = errors.New("the body ended early, or did not come within five seconds")
	errBusy     = errors.New("no room for it: too many requests are read at once")
)

// readBody returns the body of a request, of at most 1 MiB. It is held as it comes,
// in room of h beyond the connection's own.
func readBody(c *conn, r *request, h *holding) ([]byte, error) {
	if r.length == 0 {
		return nil, nil
	}
	if err := c.SetReadDeadline(c.now().Add(bodyTime)); err != nil {
		return nil, errCutOff
	}
	if r.length == chunked {
		// Its reader has a buffer as long as the connection's own room.
		if !h.reserve(ownRoom + 1) {
			return nil, errBusy
		}
		return readAll(httputil.NewChunkedReader(c), msgcrypt.MaxEnvelope+1, h)
	}
	body, err := readAll(io.LimitReader(c, int64(r.length)), r.length, h)
	if err == nil && len(body) < r.length {
		err = errCutOff
	}
	return body, err
}

// readAll reads to the end of in, or to limit bytes.
func readAll(in io.Reader, limit int, h *holding) ([]byte, error) {
	body := make([]byte, 0, min(limit, firstRead))
	for len(body) < limit {
		var err error
		if body, err = grow(body, limit, h); err != nil {
			return nil, err
		}
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errCutOff
		}
	}
	if len(body) > msgcrypt.MaxEnvelope {
		return nil, errTooLarge
	}
	return body, nil
}
