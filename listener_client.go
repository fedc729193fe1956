package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/wxsidecar/wxsidecar/config"
)

// listenerClient asks a listener of a sidecar on this machine.
type listenerClient struct {
	name    string // metrics or admin
	address config.Address
	http    *http.Client
}

// newListenerClient returns a client for the listener of that name, whose address stands in
// setting; flag would give another.
func newListenerClient(name, setting, text, flag string) (*listenerClient, error) {
	a, err := config.ParseAddress(text)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("%s %q: %w: give host:port or unix:///path", setting, text, err)}
	}
	a = a.Reachable()
	if _, port, _ := net.SplitHostPort(a.Text); a.IsOff() || port == "0" {
		return nil, &exitError{exitUsage, fmt.Errorf("%s is %s, so there is no address to ask; give %s", setting, text, flag)}
	}
	dialer := &net.Dialer{}
	return &listenerClient{name, a, &http.Client{Transport: &http.Transport{
		// No proxy: HTTP_PROXY may well name the sidecar itself.
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, a.Network, a.Text)
		},
		DisableKeepAlives: true,
	}}}, nil
}

// ask makes a call. The caller closes the body of the answer.
func (c *listenerClient) ask(ctx context.Context, method, path string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	res, err := c.http.Do(req)
	var failed *url.Error
	switch {
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &failed):
		err = failed.Err
	}
	if err != nil {
		return nil, fmt.Errorf("no answer from the %s listener %s: %w", c.name, c.address, err)
	}
	return res, nil
}
