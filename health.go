package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
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
