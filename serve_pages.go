package main

import (
	"net/http"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
)

// newPages returns the pages on which merchants authorise, or nil without push.public_url.
func (s *sidecar) newPages(c config.Config, keys *seal.Keyring) (http.Handler, error) {
	if c.Push.PublicURL == "" {
		return nil, nil
	}
	return authorize.New(authorize.Options{
		Broker: s.broker, PublicURL: c.Push.PublicURL, Keys: keys.Derive("authorization visits"),
		LandingURL: c.Push.LandingURL, LandingSecret: c.Push.LandingSecret, LoginURL: c.Push.LoginURL,
		ForwardedFor: c.Push.ForwardedFor, Metrics: s.metrics, Log: s.log,
	})
}
