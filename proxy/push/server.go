package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/listeners"
)

// Server serves WeChat's pushes. Make it with [New]. Its methods are safe for
// concurrent use.
type Server struct {
	handler Handler
	window  time.Duration
	metrics *metrics.Metrics
	log     *slog.Logger
	base    context.Context
	codecs  atomic.Pointer[codecs]
	seen    *memory
	// heads has the head of each request whose body is being read, by the address
	// of fasthttp's header.
	heads     sync.Map
	listeners listeners.Set
	server    *fasthttp.Server
}

// New returns a server, or an error that names each component whose keys cannot be
// used, and why.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		handler: o.Handler, window: o.Window, metrics: o.Metrics, log: o.Log, base: o.BaseContext,
		seen: newMemory(maxRemembered),
	}
	if err := s.SetComponents(o.Components); err != nil {
		return nil, err
	}
	s.server = s.newServer()
	return s, nil
}

// SetComponents replaces all components and keys, at once and for each push that
// comes from then on. On an error the former stay.
func (s *Server) SetComponents(components []Component) error {
	table, err := newCodecs(components)
	if err != nil {
		return fmt.Errorf("push keys: %w", err)
	}
	s.codecs.Store(&table)
	return nil
}

// Serve takes connections from l until Shutdown, which closes l and makes it return
// nil, or until l fails. It blocks.
func (s *Server) Serve(l net.Listener) error {
	if l = s.listeners.Add(l); l == nil {
		return nil
	}
	if err := s.server.Serve(l); err != nil {
		return fmt.Errorf("serve pushes on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown closes the listeners and waits for the pushes under way, until ctx ends;
// then it returns ctx's error, and they go on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.listeners.Stop()
	if err := s.server.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("shut the push listener down: %w", err)
	}
	return nil
}

func (s *Server) newServer() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        s.serve,
		HeaderReceived: s.keepHead,
		ErrorHandler:   s.serveUnread,

		// A body is counted while it is read (readBody); without streaming it would
		// be in memory before the first line of ours runs.
		StreamRequestBody: true,
		// With streaming this limit refuses nothing; it bounds what is read away
		// of a body that no handler read.
		MaxRequestBodySize: msgcrypt.MaxEnvelope,
		// Otherwise multipart bodies are parsed, and spilled to files, before us.
		DisablePreParseMultipartForm: true,
		// The limit of the head too: proxies in front add long headers.
		ReadBufferSize: 16 << 10,

		// All bodies are short, so time limits for the whole of a request cut
		// nobody off but those who hold connections open.
		ReadTimeout:  10 * time.Second,
		WriteTimeout: 10 * time.Second,
		// A proxy in front keeps its connections between the pushes of a minute.
		IdleTimeout:  90 * time.Second,
		TCPKeepalive: true,
		// Bounded memory. WeChat needs a few connections; the rest is room for
		// strangers who hold theirs open until ReadTimeout cuts them.
		Concurrency:       16384,
		ReduceMemoryUsage: true,

		// The answers say nothing but what they must.
		NoDefaultServerHeader: true,
		NoDefaultDate:         true,
		NoDefaultContentType:  true,
		// Otherwise errors quote the request, and with it signatures and pushes.
		SecureErrorLogMessage: true,
		Logger:                serverLog{s.log},
		// Draining tells the proxy in front to connect elsewhere.
		CloseOnShutdown: true,
	}
}

// keepHead is called between head and body. fasthttp reads the beginning of a body
// itself, and when that breaks off it forgets whose it was before it tells us.
func (s *Server) keepHead(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	s.heads.Store(h, readHead(h))
	return fasthttp.RequestConfig{}
}

// serve answers a request whose head and, if it is short, body have arrived.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	s.heads.Delete(&ctx.Request.Header)
	s.serveWith(ctx, readBody)
}

// serveUnread answers what never became a request: one whose body broke off like
// any other push, what is not HTTP with the status alone.
func (s *Server) serveUnread(ctx *fasthttp.RequestCtx, err error) {
	h, ok := s.heads.LoadAndDelete(&ctx.Request.Header)
	if ok && brokeOff(err) {
		h.(head).restore(ctx)
		s.serveWith(ctx, func(*fasthttp.RequestCtx) ([]byte, error) { return nil, errCutOff })
		return
	}
	status := fasthttp.StatusBadRequest
	if tooLong := (*fasthttp.ErrSmallBuffer)(nil); errors.As(err, &tooLong) {
		status = fasthttp.StatusRequestHeaderFieldsTooLarge
	}
	ctx.SetStatusCode(status)
}

// brokeOff tells a connection that ended or fell silent from a request that is
// malformed.
func brokeOff(err error) bool {
	var network net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// serveWith turns a panic into one 500: fasthttp would end the process.
func (s *Server) serveWith(ctx *fasthttp.RequestCtx, body func(*fasthttp.RequestCtx) ([]byte, error)) {
	defer func() {
		if p := recover(); p != nil {
			// The value may quote a push; its type and the stack cannot.
			s.log.Error("panic while a push was handled", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			s.metrics.Push("", "panic")
			write(ctx, answer{status: fasthttp.StatusInternalServerError})
		}
	}()
	write(ctx, s.route(ctx, body))
}

// route answers one call.
func (s *Server) route(ctx *fasthttp.RequestCtx, read func(*fasthttp.RequestCtx) ([]byte, error)) answer {
	r := readRequest(ctx)
	to, known := r.target()
	switch {
	case !known || to.what != "event":
		s.tellAstray(r, to.component)
		return answer{status: fasthttp.StatusNotFound}
	case r.method != fasthttp.MethodPost:
		return answer{status: fasthttp.StatusMethodNotAllowed, allow: fasthttp.MethodPost}
	}
	body, err := read(ctx)
	return s.event(r, to.component, body, err)
}

// answer is all that ever leaves.
type answer struct {
	status int
	allow  string
	body   string
}

// write is the only one that touches the response. Response.Reset must stay out of
// it: that would bring Date back in spite of NoDefaultDate.
func write(ctx *fasthttp.RequestCtx, a answer) {
	ctx.SetStatusCode(a.status)
	if a.allow != "" {
		ctx.Response.Header.Set("Allow", a.allow)
	}
	if a.body != "" {
		ctx.SetContentType("text/plain")
		ctx.SetBodyString(a.body)
	}
}
