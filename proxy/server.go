package proxy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/listeners"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

const (
	// headTimeout is how long a request's head and the first 8 KiB of its body may take
	// from the first byte.
	headTimeout = 30 * time.Second
	// keepAlive is how long an app's connection may be idle.
	keepAlive = 2 * time.Minute
	// spareConnections is how many connections there may be beyond MaxInflight.
	spareConnections = 4096
	// tokenWait is how long a call waits for a token at most. The broker's own limit is
	// usually shorter.
	tokenWait = 10 * time.Second
)

// Server serves the apps. Its methods are safe for concurrent use.
type Server struct {
	source    TokenSource
	exchange  Exchange
	upstream  *upstream
	table     *routes.Table
	noRoute   *routes.Route           // of a call whose path is not known yet
	local     map[string]localHandler // by path
	byRoute   []localHandler          // the same by the ID of the route; nil for none
	connect   *connector
	listeners listeners.Set
	http      *fasthttp.Server
	metrics   *metrics.Metrics
	log       *slog.Logger
	now       func() time.Time
	base      context.Context
	settings
	state
}

// settings are those of the Options that calls look at. They never change.
type settings struct {
	hosts            map[string]struct{}
	authorities      map[string]struct{} // host:port of the upstreams
	defaultAppID     string
	defaultComponent string
	errorsAs200      bool
	exposeTokens     bool
	keys             handleKeys
	limits           Limits
	makeTraces       bool
	accessLog        *atomic.Bool // nil for never
}

// state is what calls change.
type state struct {
	callers  atomic.Pointer[callers]
	byCaller callerCounters
	inflight *inflight
	memory   replayMemory
	results  resultCounters
	requests sync.Pool
	tokenCtx atomic.Pointer[context.Context] // see tokenContext
	nextDate atomic.Int64                    // when the Date of an answer is looked at again, nanoseconds since 1970
	process  uint32
	calls    atomic.Uint64
}

// New checks the options and returns a server that is not listening yet.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	table, err := routes.New()
	if err != nil {
		return nil, err
	}
	s := &Server{
		source: o.Source, exchange: o.Exchange, table: table, noRoute: table.Match(nil),
		settings: settings{
			defaultAppID: o.DefaultAppID, defaultComponent: o.DefaultComponent, errorsAs200: o.ErrorsAsHTTP200, exposeTokens: o.ExposeTokens,
			keys: o.HandleKeys, limits: o.Limits, makeTraces: o.MakeTraces, accessLog: o.AccessLog,
		},
		metrics: o.Metrics, log: o.Log, now: o.Now, base: o.BaseContext,
	}
	if s.upstream, err = newUpstream(o.Upstream, o.BaseContext, o.Now, o.Log, o.Metrics); err != nil {
		return nil, err
	}
	if s.connect, err = newConnector(o.Connect, o.Upstream); err != nil {
		return nil, err
	}
	rejectOwnCertificate(s.upstream.hosts, o.Connect.TLS)
	s.byCaller.init(o.Metrics)
	if err := s.SetCallers(o.Callers); err != nil {
		return nil, err
	}
	if err := s.setRandom(); err != nil {
		return nil, err
	}
	s.hosts, s.authorities = hostNames(s.upstream.hosts, o.AllowedHosts), authorities(s.upstream.hosts)
	s.local = s.localHandlers()
	if s.byRoute, err = handlersByRoute(table, s.local); err != nil {
		return nil, err
	}
	s.inflight = newInflight(s.limits)
	s.memory.limit = int64(s.limits.ReplayMemory)
	s.results.init(o.Metrics, table.Families())
	s.showLimits()
	s.requests.New = func() any { return &request{} }
	s.http = s.newHTTP()
	s.listeners.OnShortage = func(err error) {
		s.log.Warn("apps listener cannot take a connection; trying again", "error", err,
			"hint", "raise the limit of open files (ulimit -n)")
	}
	return s, nil
}

// setRandom sets the process's part of request ids and, if none is configured, a key for
// handles.
func (s *Server) setRandom() error {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("read random bytes: %w", err)
	}
	s.process = binary.BigEndian.Uint32(b[:])
	if len(s.keys) == 0 {
		if _, err := rand.Read(b[:]); err != nil {
			return fmt.Errorf("read random bytes: %w", err)
		}
		s.keys = handleKeys{b[:]}
	}
	return nil
}

// SetCallers replaces the callers. Calls in flight keep those they began with. An
// error says which caller is malformed, and then nothing changes.
func (s *Server) SetCallers(list []Caller) error {
	c, err := newCallers(list)
	if err != nil {
		return err
	}
	for _, one := range c.all {
		one.counters = s.byCaller.of(one.Name)
	}
	s.callers.Store(c)
	return nil
}

func (s *Server) newHTTP() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:       s.serveCall,
		ExpectHandler: s.serveExpect,
		ErrorHandler:  s.refuseMalformed,
		// Bodies are streamed. The limit then only says from which length on.
		StreamRequestBody: true, MaxRequestBodySize: 64 << 20,
		// Otherwise fasthttp parses multipart bodies first, and writes parts to files.
		DisablePreParseMultipartForm: true,
		// The first is also the limit for a head. With the second, head, token and
		// a small body leave in one write.
		ReadBufferSize: 16 << 10, WriteBufferSize: 8 << 10,
		// WeChat's headers pass as they came; fasthttp adds none.
		NoDefaultServerHeader: true, NoDefaultDate: true, NoDefaultContentType: true,
		// Otherwise parse errors quote the request.
		SecureErrorLogMessage: true,
		Logger:                httpLogger{s.log},
		// It has no timeouts: those of heads, answers and idle connections are appConn's.
		// This counts connections, with or without a call on them. fasthttp refuses one
		// too many with a bare 503. There may be more of them than calls, so that our own
		// limit, whose refusal gives the reason, is met first.
		Concurrency: s.limits.MaxInflight + spareConnections,
		// Idle connections give their buffers back to the pool.
		ReduceMemoryUsage: true,
		// While draining, answers carry Connection: close.
		CloseOnShutdown: true,
	}
}

// Serve takes calls from ln until Shutdown, which closes ln and makes it return
// nil, or until ln fails. It blocks.
func (s *Server) Serve(ln net.Listener) error { return s.serveOn(appListener{ln, s.now}) }

// serveOn serves what ln accepts.
func (s *Server) serveOn(ln net.Listener) error {
	if ln = s.listeners.Add(ln); ln == nil {
		return nil
	}
	return s.http.Serve(ln)
}

// Shutdown stops accepting and waits until the calls in flight have ended or ctx
// has. In the latter case their handlers still run: the process must end then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.listeners.Stop()
	s.connect.tunnels.drain()
	err := errors.Join(s.http.ShutdownWithContext(ctx), s.connect.tunnels.wait(ctx))
	s.upstream.close()
	if err != nil {
		return fmt.Errorf("drain the apps listener: %w", err)
	}
	return nil
}

// serveCall serves one call.
func (s *Server) serveCall(ctx *fasthttp.RequestCtx) {
	if ctx.IsConnect() {
		s.serveConnect(ctx)
		return
	}
	r := s.newRequest(appConnOf(ctx))
	s.wantAccess(ctx, r)
	defer s.recoverPanic(ctx, r)
	f := s.serve(ctx, r)
	switch {
	case f != nil:
		s.refuse(ctx, r, f)
	case !r.streaming:
		s.discardBody(r) // WeChat may have answered before the upload's end
	}
	unread := !r.body.ended()
	if unread {
		ctx.Response.SetConnectionClose()
	}
	r.app.unread.Store(unread || f != nil && f.closes)
	ctx.Response.Header.SetCanonical(requestIDName, r.id[:])
	r.access.status = ctx.Response.StatusCode()
	if r.streaming {
		_ = r.app.SetWriteDeadline(s.now().Add(idleTimeout)) // the stream renews it; an error shows again
	} else {
		s.finish(r)
	}
}

// recoverPanic turns a panic into one 500, instead of ending the process.
func (s *Server) recoverPanic(ctx *fasthttp.RequestCtx, r *request) {
	p := recover()
	if p == nil {
		return
	}
	streaming := r.streaming
	r.access.logged = true
	s.metrics.AppError("internal")
	s.log.Error("panic while serving a call", append(r.attrs(ctx.RemoteAddr().String()), "panic", p, "stack", string(debug.Stack()))...)
	id := r.id
	// Resetting the answer closes its stream, which finishes the call.
	f := internalFault("panic")
	if r.uncertain() {
		f.uncertain()
	}
	f.write(&ctx.Response, s.errorsAs200)
	ctx.Response.SetConnectionClose()
	appConnOf(ctx).unread.Store(true)
	ctx.Response.Header.SetCanonical(requestIDName, id[:])
	if !streaming {
		s.finish(r)
	}
}
