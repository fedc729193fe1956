package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
)

// buildAdmin opens the admin listener, unless it is off. The others are open already.
func (s *sidecar) buildAdmin(c config.Config) error {
	s.control.publicURL = c.Push.PublicURL
	if c.Listen.Admin == config.Off {
		return nil
	}
	options := admin.Options{
		Broker: s.broker.Admin(), Control: s.control, Outbox: s.events, About: s.about(c), Repaired: s.repaired, Pprof: c.Admin.Pprof, Log: s.log,
	}
	if s.push != nil {
		options.Pushes = s.push
	}
	if s.apps != nil {
		options.Upstream = s.hosts
	}
	if c.Admin.KeySHA256 != "" {
		hash, err := hex.DecodeString(c.Admin.KeySHA256)
		if err != nil || len(hash) != sha256.Size {
			return errors.New("admin.key_sha256: not 64 hexadecimal digits")
		}
		options.KeySHA256 = (*[sha256.Size]byte)(hash)
	}
	handler, err := admin.NewHandler(options)
	if err != nil {
		return err
	}
	return s.open(&s.admin, "listen.admin", c.Listen.Admin, c, httpServer{admin.NewAdminServer(handler, s.log)})
}

// about returns what the sidecar says of itself.
func (s *sidecar) about(c config.Config) func() admin.About {
	started, shown := s.broker.Now().UTC().Truncate(time.Second), config.ShownStore(c.Store.Reveal())
	return func() admin.About {
		a := admin.About{Version: version(), StartedAt: started, Store: shown, Listeners: []admin.Listener{}}
		for _, l := range append(s.traffic[:len(s.traffic):len(s.traffic)], s.admin...) {
			a.Listeners = append(a.Listeners, admin.Listener{Name: l.name(), Address: l.address()})
		}
		return a
	}
}

// repaired returns what became of a store that was damaged, nil for nothing.
func (s *sidecar) repaired() *admin.Repair {
	r := s.recovery()
	if r == nil {
		return nil
	}
	return &admin.Repair{Reason: r.Reason, MovedTo: r.MovedTo, Kept: r.Kept}
}

func (s *sidecar) hosts() []admin.Host {
	var all []admin.Host
	for _, h := range s.apps.Hosts() {
		host := admin.Host{Name: h.Name, Failures: h.Failures}
		if !h.OutUntil.IsZero() {
			until := h.OutUntil.UTC().Truncate(time.Second)
			host.OutUntil = &until
		}
		all = append(all, host)
	}
	return all
}

// control is what operators tell the process as a whole, and know of it. It implements
// [admin.Control] and is safe for concurrent use.
type control struct {
	state     *atomic.Int32 // of listening
	publicURL string
	level     *slog.LevelVar
	access    atomic.Bool
	reloads   chan chan<- admin.ReloadResult // for watch
	quits     chan struct{}                  // capacity 1, for watch
	last      atomic.Pointer[admin.ReloadResult]
}

func newControl(state *atomic.Int32) *control {
	return &control{state: state, level: &slog.LevelVar{}, reloads: make(chan chan<- admin.ReloadResult), quits: make(chan struct{}, 1)}
}

// State implements [admin.Control].
func (c *control) State() string {
	return [...]string{stateStarting: "starting", stateServing: "serving", stateDraining: "draining"}[c.state.Load()]
}

// Link implements [admin.Control].
func (c *control) Link(component string, r admin.LinkRequest) (string, error) {
	return pageLink(c.publicURL, component, authorize.Request{AuthType: r.AuthType, BizAppID: r.BizAppID, CategoryIDList: r.CategoryIDList, State: r.State})
}

// reloadPatience is how long a reload that was asked for may wait for its turn.
const reloadPatience = 10 * time.Second

// Reload implements [admin.Control].
func (c *control) Reload(ctx context.Context) (admin.ReloadResult, error) {
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	result := make(chan admin.ReloadResult, 1)
	select {
	case c.reloads <- result:
	case <-ctx.Done():
		return admin.ReloadResult{}, fmt.Errorf("the configuration cannot be read anew now: the sidecar is %s", c.State())
	}
	select {
	case r := <-result:
		return r, nil
	case <-ctx.Done():
		return admin.ReloadResult{}, errors.New("reading the configuration anew takes long; the status says what came of it")
	}
}

// LastReload implements [admin.Control].
func (c *control) LastReload() *admin.ReloadResult { return c.last.Load() }

// Quit implements [admin.Control].
func (c *control) Quit() {
	select {
	case c.quits <- struct{}{}:
	default: // it was told already
	}
}

// LogLevel implements [admin.Control].
func (c *control) LogLevel() *slog.LevelVar { return c.level }

// AccessLog implements [admin.Control].
func (c *control) AccessLog() *atomic.Bool { return &c.access }
