package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wxsidecar/wxsidecar/config"
)

func (p *program) healthVerb() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running sidecar whether it lives",
		Long: "Health asks /livez on the metrics listener of the sidecar on this machine, for a container's health check.\n" +
			"Exit codes: 0 it answers, 1 it does not, 2 the address is not known.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			metrics, err := p.metricsClient(cmd.Flags())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("nothing came within %s", timeout))
			defer cancel()
			if err := metrics.alive(ctx); err != nil {
				return &exitError{exitFailure, err}
			}
			fmt.Fprintln(p.std.out, "alive")
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for the answer")
	addConfigFlags(cmd.Flags(), "listen-metrics")
	return cmd
}

// metricsClient asks the metrics listener of a sidecar on this machine.
type metricsClient struct {
	http    *http.Client
	address config.Address
}

// metricsClient returns a client for the listener that the configuration names.
// Only what is wrong with that address matters here: the rest is for serve, which
// may have a part of its configuration elsewhere.
func (p *program) metricsClient(flags *pflag.FlagSet) (*metricsClient, error) {
	l := p.load(flags)
	if err := l.ErrOf("listen.metrics"); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	a, err := config.ParseAddress(l.Config.Listen.Metrics)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	a = a.Reachable()
	if _, port, _ := net.SplitHostPort(a.Text); a.IsOff() || port == "0" {
		return nil, &exitError{exitUsage, fmt.Errorf("listen.metrics is %s, so there is no address to ask; give --listen-metrics", l.Config.Listen.Metrics)}
	}
	return newMetricsClient(a), nil
}

func newMetricsClient(a config.Address) *metricsClient {
	dialer := &net.Dialer{}
	return &metricsClient{
		address: a,
		http: &http.Client{Transport: &http.Transport{
			// No proxy: HTTP_PROXY may well name the sidecar itself.
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, a.Network, a.Text)
			},
			DisableKeepAlives: true,
		}},
	}
}

// get asks for one path. The caller closes the body.
func (c *metricsClient) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	var failed *url.Error
	switch {
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &failed):
		err = failed.Err
	}
	if err != nil {
		return nil, fmt.Errorf("no answer from the metrics listener %s: %w", c.address, err)
	}
	return res, nil
}

func (c *metricsClient) alive(ctx context.Context) error {
	res, err := c.get(ctx, "/livez")
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the metrics listener %s answers /livez with %s", c.address, res.Status)
	}
	return nil
}
