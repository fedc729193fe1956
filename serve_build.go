package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/boltstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
	"github.com/wxsidecar/wxsidecar/proxy/mitm"
	"github.com/wxsidecar/wxsidecar/proxy/push"
	"github.com/wxsidecar/wxsidecar/proxy/releasecheck"
)

// What a sidecar's state can be; only the middle one is ready.
const (
	stateStarting = iota
	stateServing
	stateDraining
)

// sidecar is everything that runs under serve.
type sidecar struct {
	log     *slog.Logger
	metrics *metrics.Metrics
	broker  *broker.Broker
	// own are the addresses of all listeners, which the sidecar never calls.
	own *dial.OwnAddresses
	// proxy is upstream.proxy, through which WeChat is reached; nil for none.
	proxy *dial.Proxy
	// authority issues certificates to terminate the TLS of apps; nil if no app can call.
	authority *mitm.Authority
	// restoreCA puts the CA back into a shared store that was emptied; nil without one.
	restoreCA func()
	// apps and push are nil while their listeners are off.
	apps *proxy.Server
	push *push.Server
	// messages hands messages to the targets in events, and events keeps authorization events
	// until these have them.
	messages *messageRelay
	events   *outbox.Outbox
	// release answers WeChat's release check; nil where that is switched off.
	release *releasecheck.Check

	listening
	storage
	running
	control *control
}

// listening is what is known of the listeners.
type listening struct {
	// traffic are the listeners of apps and pushes, which drain first. admin are those for
	// operators, which stay open until the broker has stopped.
	traffic, admin []served
	state          atomic.Int32
	// failed receives the first error of a part that ended by itself.
	failed chan error
}

// storage is the store; closeStore closes it, and recovery says what was damaged.
type storage struct {
	records    store.Store
	closeStore func() error
	recovery   func() *boltstore.Recovery
}

// running is the life of what runs.
type running struct {
	// brokerGrace is how long stop waits beyond shutdown.grace: the constant, but in tests.
	brokerGrace time.Duration
	// base is the context of all work; stopBroker ends it.
	base       context.Context
	stopBroker context.CancelFunc
	brokerDone chan struct{}
	// stopRelease ends what startRelease started; it may have started nothing.
	stopRelease func()
	// redeliveries are the calls of redeliverEvents, which end with base.
	redeliveries sync.WaitGroup
}

// newSidecar opens the store and the listeners and builds all parts. It calls
// nobody but the store and serves nothing before start. ctx ends the wait for a store that
// does not answer yet. On an error nothing stays open.
func newSidecar(ctx context.Context, c config.Config, log *slog.Logger) (_ *sidecar, err error) {
	s := &sidecar{
		log: log, metrics: metrics.New(version()), own: &dial.OwnAddresses{},
		listening: listening{failed: make(chan error, 1)},
		storage:   storage{closeStore: func() error { return nil }},
		running:   running{brokerDone: make(chan struct{}), brokerGrace: brokerGrace, stopRelease: func() {}},
	}
	s.control = newControl(&s.state)
	s.base, s.stopBroker = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeAll())
		}
	}()
	if s.proxy, err = newProxy(c, s.own); err != nil {
		return nil, err
	}
	keys, err := sealKeys(c, log)
	if err != nil {
		return nil, err
	}
	if err := s.buildBroker(ctx, c, keys); err != nil {
		return nil, err
	}
	if err := s.buildRelay(c, keys); err != nil {
		return nil, err
	}
	if err := s.buildTraffic(c, keys); err != nil {
		return nil, err
	}
	if err := s.buildMetrics(c); err != nil {
		return nil, err
	}
	if err := s.buildAdmin(c); err != nil {
		return nil, err
	}
	if err := s.checkLoop(); err != nil {
		return nil, err
	}
	s.publishCertificate(c)
	return s, nil
}

// closeAll closes what a failed start has opened.
func (s *sidecar) closeAll() error {
	s.stopBroker()
	for _, l := range append(s.traffic, s.admin...) {
		_ = l.listener.Close() // it has served nobody
	}
	return s.closeStore()
}

// buildTraffic opens the listeners of apps and of WeChat's pushes, unless they are
// off.
func (s *sidecar) buildTraffic(c config.Config, keys *seal.Keyring) error {
	if err := s.buildApps(c, keys); err != nil {
		return err
	}
	if c.Listen.Push == config.Off {
		return nil
	}
	if err := s.buildPush(c, keys); err != nil {
		return err
	}
	return s.open(&s.traffic, "listen.push", c.Listen.Push, c, s.push)
}

// buildMetrics opens the metrics listener, unless it is off.
func (s *sidecar) buildMetrics(c config.Config) error {
	if c.Listen.Metrics == config.Off {
		return nil
	}
	handler, err := admin.NewMetricsHandler(admin.MetricsOptions{
		Metrics: s.metrics, Status: s.broker, Ready: s.ready, CAPEM: s.caPEM, DeadLetters: s.events.DeadLetters,
	})
	if err != nil {
		return err
	}
	return s.open(&s.admin, "listen.metrics", c.Listen.Metrics, c, httpServer{admin.NewServer(handler, s.log)})
}

// open opens the listener of a key and adds it, with its server, to list.
func (s *sidecar) open(list *[]served, key, text string, c config.Config, srv server) error {
	mode, err := config.ParseSocketMode(c.Apps.SocketMode)
	if err != nil {
		return fmt.Errorf("apps.socket_mode: %w", err)
	}
	l, err := listen(key, text, mode)
	if err != nil {
		return err
	}
	s.own.Add(l.Addr())
	*list = append(*list, served{key, srv, l})
	return nil
}

// start starts the broker and the servers.
func (s *sidecar) start() {
	go s.runBroker()
	go s.keepMemorySmall(s.base)
	go keepProcessorsFew(s.base)
	s.startRelease()
	for _, l := range append(s.traffic, s.admin...) {
		s.log.Info("ready", "listener", l.name(), "address", l.address())
		go s.runServer(l)
	}
	s.state.Store(stateServing)
}

func (s *sidecar) runServer(l served) {
	if err := l.server.Serve(l.listener); err != nil && s.state.Load() != stateDraining {
		s.fail(fmt.Errorf("%s: %w", l.key, err))
	}
}

// fail reports a failure. The first one stops the sidecar; others are dropped.
func (s *sidecar) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// ready returns why the sidecar is not ready, for /readyz.
func (s *sidecar) ready() error {
	switch s.state.Load() {
	case stateServing:
		return nil
	case stateDraining:
		return errors.New("draining: the sidecar was told to stop")
	default:
		return errors.New("starting")
	}
}
