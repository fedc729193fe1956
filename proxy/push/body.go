package push

import (
	"errors"
	"io"
	"net/http/httputil"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// bodyTime is how long a body may take, including the wait for its reservation. WeChat
// gives up after five seconds.
const bodyTime = 5 * time.Second

var (
	errTooLarge = errors.New("the body is longer than 1 MiB")
	errCutOff   = errors.New("the body ended early, or did not come within five seconds")
	errBusy     = errors.New("too many requests are read at once")
)

// readBody returns the body of a request, of at most 1 MiB. Memory is reserved as bytes
// arrive.
func readBody(c *conn, r *request, mem *reservation) ([]byte, error) {
	if r.length == 0 {
		return nil, nil
	}
	if err := c.SetReadDeadline(c.now().Add(bodyTime)); err != nil {
		return nil, errCutOff
	}
	if r.length == chunked {
		// The chunked reader has a buffer of unreservedBytes itself.
		if !mem.reserve(unreservedBytes + 1) {
			return nil, errBusy
		}
		return readAll(httputil.NewChunkedReader(c), msgcrypt.MaxEnvelope+1, mem)
	}
	body, err := readAll(io.LimitReader(c, int64(r.length)), r.length, mem)
	if err == nil && len(body) < r.length {
		err = errCutOff
	}
	return body, err
}

// readAll reads to the end of in, or to limit bytes.
func readAll(in io.Reader, limit int, mem *reservation) ([]byte, error) {
	body := make([]byte, 0, min(limit, firstRead))
	for len(body) < limit {
		var err error
		if body, err = grow(body, limit, mem); err != nil {
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
