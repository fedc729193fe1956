package wechattest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Transport returns the server as a RoundTripper that works in memory: on the
// caller's goroutine, without a listener, for every host. What a fault breaks
// comes as the error that net/http would report; waiting ends with the request's
// context.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ s *Server }

// RoundTrip answers one request. The body is read and closed before it returns.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	rep := t.s.handle(asServed(req))
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return rep.response(req)
}

// asServed is the client's request as a server sees it.
func asServed(req *http.Request) *http.Request {
	served := req.Clone(req.Context())
	served.RequestURI = req.URL.RequestURI()
	served.RemoteAddr = "127.0.0.1:0"
	if served.Host == "" {
		served.Host = req.URL.Host
	}
	served.URL.Host, served.URL.Scheme = "", ""
	if req.ContentLength == 0 && req.Body != nil && req.Body != http.NoBody {
		served.ContentLength = -1 // net/http sends such a body in chunks
	}
	return served
}

// response is the answer as a client sees it.
func (r *reply) response(req *http.Request) (*http.Response, error) {
	if r.raw != "" {
		return http.ReadResponse(bufio.NewReader(strings.NewReader(r.raw)), req)
	}
	switch r.end {
	case Refuse:
		return nil, opError("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case ResetBefore, ResetAfter:
		return nil, errReset()
	case Close:
		return nil, io.EOF
	}
	resp := &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, ContentLength: r.length(), Request: req,
	}
	if r.chunked || r.end == TruncateSilent || r.end == TruncateChunked {
		resp.ContentLength = -1
	}
	resp.Body = r.clientBody(req.Context())
	if req.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp, nil
}

func errReset() error {
	return opError("read", os.NewSyscallError("read", syscall.ECONNRESET))
}

func opError(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }

// clientBody is the body with the break that the fault wants.
func (r *reply) clientBody(ctx context.Context) io.ReadCloser {
	b := &brokenBody{ctx: ctx, left: r.length(), end: io.EOF, drip: r.drip, r: r.reader()}
	switch r.end {
	case ResetHeaders:
		b.left, b.end = 0, errReset()
	case ResetBody:
		b.left, b.end = r.length()/2, errReset()
	case Truncate, TruncateChunked:
		b.left, b.end = r.length()/2, io.ErrUnexpectedEOF
	case TruncateSilent:
		b.left = r.length() / 2
	}
	return b
}

// brokenBody yields left bytes of r and then end.
type brokenBody struct {
	ctx  context.Context
	r    io.Reader
	left int64
	end  error
	drip time.Duration
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left <= 0 {
		return 0, b.end
	}
	if b.drip > 0 && len(p) > 0 {
		if err := sleep(b.ctx, b.drip); err != nil {
			return 0, err
		}
		p = p[:1]
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Close ends the body; it holds nothing.
func (b *brokenBody) Close() error {
	b.left, b.end = 0, net.ErrClosed
	return nil
}
