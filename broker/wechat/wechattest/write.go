package wechattest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// writeTo writes the answer over HTTP, or breaks the connection as the fault
// wants.
func (r *reply) writeTo(w http.ResponseWriter, req *http.Request) {
	switch {
	case r.raw != "":
		takeOver(w, func(conn net.Conn, _ *bufio.Writer) {
			_, _ = io.WriteString(conn, r.raw)
		})
	case r.end == "":
		r.writeWhole(w, req)
	default:
		r.writeBroken(w)
	}
}

func (r *reply) writeWhole(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	for name, values := range r.header {
		h[name] = values
	}
	if !r.chunked {
		h.Set("Content-Length", strconv.FormatInt(r.length(), 10))
	}
	w.WriteHeader(r.status)
	if req.Method == http.MethodHead {
		return
	}
	out := io.Writer(w)
	if r.drip > 0 || r.chunked {
		out = &flusher{w: w, pause: r.drip, done: req.Context().Done()}
	}
	_, _ = io.CopyN(out, r.reader(), r.length())
}

// flusher sends each write at once; with a pause it sends byte by byte.
type flusher struct {
	w     http.ResponseWriter
	pause time.Duration
	done  <-chan struct{}
}

func (f *flusher) Write(p []byte) (int, error) {
	if f.pause <= 0 {
		n, err := f.w.Write(p)
		f.flush()
		return n, err
	}
	timer := time.NewTimer(f.pause)
	defer timer.Stop()
	for i := range p {
		select {
		case <-f.done:
			return i, net.ErrClosed
		case <-timer.C:
		}
		if _, err := f.w.Write(p[i : i+1]); err != nil {
			return i, err
		}
		f.flush()
		timer.Reset(f.pause)
	}
	return len(p), nil
}

func (f *flusher) flush() {
	if w, ok := f.w.(http.Flusher); ok {
		w.Flush()
	}
}

// writeBroken breaks the answer off.
func (r *reply) writeBroken(w http.ResponseWriter) {
	takeOver(w, func(conn net.Conn, out *bufio.Writer) {
		switch r.end {
		case Close:
		case ResetHeaders:
			r.writeHead(out, strconv.FormatInt(r.length(), 10))
		case ResetBody, Truncate:
			r.writeHead(out, strconv.FormatInt(r.length(), 10))
			_, _ = io.CopyN(out, r.reader(), r.length()/2)
		case TruncateSilent:
			r.writeHead(out, "")
			_, _ = io.CopyN(out, r.reader(), r.length()/2)
		case TruncateChunked:
			r.writeHead(out, "chunked")
			_, _ = fmt.Fprintf(out, "%x\r\n", r.length())
			_, _ = io.CopyN(out, r.reader(), r.length()/2)
		}
		_ = out.Flush()
		switch r.end {
		case Close, Truncate, TruncateSilent, TruncateChunked:
		default:
			reset(conn)
		}
	})
}

// writeHead writes the status line and the headers. length is the content
// length, "chunked", or empty for an answer that ends with the connection.
func (r *reply) writeHead(out io.Writer, length string) {
	_, _ = fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	h := r.header.Clone()
	switch length {
	case "":
		h.Set("Connection", "close")
	case "chunked":
		h.Set("Transfer-Encoding", length)
	default:
		h.Set("Content-Length", length)
	}
	_ = h.Write(out)
	_, _ = io.WriteString(out, "\r\n")
}

// takeOver gives the bare connection to use and closes it after. Where there is
// none, as with httptest.ResponseRecorder, the handler is aborted.
func takeOver(w http.ResponseWriter, use func(net.Conn, *bufio.Writer)) {
	h, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, buffered, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	use(conn, buffered.Writer)
}

// reset makes the coming Close of conn a reset instead of an orderly end. A TLS
// connection's own close would say goodbye first, so what is below it is closed.
func reset(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}
