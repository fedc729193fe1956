package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// metricsClient returns a client for the listener that the configuration names.
// Only what is wrong with that address matters here: the rest is for serve, which
// may have a part of its configuration elsewhere.
func (p *program) metricsClient(flags *pflag.FlagSet) (*listenerClient, error) {
	l := p.load(flags)
	if err := l.ErrOf("listen.metrics"); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return newListenerClient("metrics", "listen.metrics", l.Config.Listen.Metrics, "--listen-metrics")
}

// alive asks the metrics listener.
func (c *listenerClient) alive(ctx context.Context) error {
	res, err := c.ask(ctx, http.MethodGet, "/livez", nil)
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
