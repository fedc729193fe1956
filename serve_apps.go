package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// buildApps opens the listeners through which apps call, unless all are off.
func (s *sidecar) buildApps(c config.Config, keys *seal.Keyring) error {
	if c.Listen.Apps == config.Off && c.Alias.HTTP == config.Off && c.Alias.HTTPS == config.Off {
		return nil
	}
	if err := s.buildAuthority(c, keys); err != nil {
		return err
	}
	options, err := appsOptions(c)
	if err != nil {
		return err
	}
	options.Source, options.Exchange, options.HandleKeys = s.broker, s.broker, keys.Derive("handles")
	options.Metrics, options.Log, options.BaseContext = s.metrics, s.log, s.base
	options.Upstream.Own, options.Upstream.Proxy = s.own, s.proxy
	options.AccessLog = &s.control.access
	s.control.access.Store(c.Log.Access)
	options.Connect.TLS = s.authority.TLSConfig("api.weixin.qq.com")
	if s.apps, err = proxy.New(options); err != nil {
		return err
	}
	for _, l := range []struct {
		key, address string
		serve        func(net.Listener) error
	}{
		{"listen.apps", c.Listen.Apps, s.apps.Serve},
		{"alias.http", c.Alias.HTTP, s.apps.Serve},
		{"alias.https", c.Alias.HTTPS, s.apps.ServeAliasTLS},
	} {
		if l.address == config.Off {
			continue
		}
		if err := s.open(&s.traffic, l.key, l.address, c, appsServer{s.apps, l.serve}); err != nil {
			return err
		}
	}
	return nil
}

// appsServer is the server of apps on one of its listeners. Shutdown stops it on all of
// them and may be called more than once.
type appsServer struct {
	*proxy.Server
	serve func(net.Listener) error
}

// Serve implements server.
func (s appsServer) Serve(l net.Listener) error { return s.serve(l) }

// checkLoop returns an error if the sidecar would call itself. It must be called once all
// listeners are open.
func (s *sidecar) checkLoop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var err error
	switch {
	case s.apps != nil:
		err = s.apps.CheckLoop(ctx)
	case s.proxy != nil:
		err = s.proxy.CheckLoop(ctx)
	}
	if errors.Is(err, dial.ErrLoop) {
		return fmt.Errorf("the sidecar would call itself: %w", err)
	}
	return err
}
