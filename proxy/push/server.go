package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/listeners"
)

// Server serves WeChat's pushes. Make it with [New]. Its methods are safe for
// concurrent use.
type Server struct {
	handler  Handler
	messages MessageHandler
	window   time.Duration
	now      func() time.Time
	metrics  *metrics.Metrics
	log      *slog.Logger
	base     context.Context
	keys     atomic.Pointer[keyTable]
	// tickets and events are those that were handled, answered the messages, with their replies.
	tickets, events, answered *dedup
	budget                    *budget
	// recentEvents and recentMessages are what was pushed last.
	recentEvents, recentMessages recent
	// verifying serialises the decryption of long bodies, which copies them.
	verifying sync.Mutex
	// lingering counts the connections whose bytes are discarded after a refusal.
	lingering chan struct{}
	// pages may be nil; making counts those that are made.
	pages     http.Handler
	making    chan struct{}
	listeners listeners.Set
	conns     *conns
}

// New returns a server, or an error that names each component and account whose keys cannot
// be used, and why.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		handler: o.Handler, messages: o.Messages, window: o.Window, now: o.Now, metrics: o.Metrics, log: o.Log, base: o.BaseContext,
		tickets: newDedup(maxRemembered, 0, nil), budget: newBudget(), lingering: make(chan struct{}, maxLingering),
		conns: newConns(o), pages: o.Pages, making: make(chan struct{}, maxPages),
	}
	s.share(o.Memory, o.Seal)
	s.listeners.OnShortage = s.makeRoom
	s.budget.show(o.Metrics)
	if err := s.SetKeys(o.Components, o.Accounts); err != nil {
		return nil, err
	}
	return s, nil
}

// share has events and messages remembered in memory as well; nil has them remembered by this
// process alone. Tickets need no other memory: the newest one on record decides, whoever got it.
func (s *Server) share(memory store.Memory, keys *seal.Keyring) {
	var events, messages *claims
	if memory != nil {
		events = &claims{memory: memory, kind: "push/"}
		messages = &claims{memory: memory, kind: "message/", seal: keys, longest: claimReply, alone: s.messageAlone}
	}
	s.events = newDedup(maxRemembered, 0, events)
	s.answered = newDedup(maxRemembered, maxReplies, messages)
}

// SetKeys replaces all components and accounts with their keys, at once and for each push
// that comes from then on. On an error the former stay.
func (s *Server) SetKeys(components []Component, accounts []Account) error {
	table, err := newKeyTable(components, accounts)
	if err != nil {
		return fmt.Errorf("push keys: %w", err)
	}
	s.keys.Store(&table)
	return nil
}

// Serve takes connections from l until Shutdown, which closes l and makes it return
// nil, or until l fails. It blocks. Where the process is short of files or memory it
// closes the oldest unverified connection, and goes on.
func (s *Server) Serve(l net.Listener) error {
	if l = s.listeners.Add(l); l == nil {
		return nil
	}
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			if c := s.conns.add(nc); c != nil {
				go s.serveConn(c)
			}
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			return fmt.Errorf("serve pushes on %s: %w", l.Addr(), err)
		}
	}
}

// makeRoom closes the oldest unverified connection.
func (s *Server) makeRoom(err error) {
	s.log.Warn("push listener cannot take a connection; trying again", "error", err)
	s.conns.makeRoom()
}

// Shutdown closes the listeners and waits for the pushes in flight. If ctx ends first it
// returns ctx's error, and they go on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.listeners.Stop()
	for {
		left, changed := s.conns.stop()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("shut the push listener down: %w", ctx.Err())
		}
	}
}
