package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker"
)

func (p *program) waitVerb() *cobra.Command {
	var timeout, interval time.Duration
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until every component and own account holds a living token",
		Long: "Wait asks /tokenz on the metrics listener of the sidecar on this machine until every token lives, for\n" +
			"apps that must not start earlier. It prints what is missing whenever that changes.\n" +
			"Exit codes: 0 all live, 1 not within the timeout, 2 the address is not known.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval <= 0 {
				return &exitError{exitUsage, fmt.Errorf("--interval %s: not above 0", interval)}
			}
			metrics, err := p.metricsClient(cmd.Flags())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("--timeout %s is over", timeout))
			defer cancel()
			w := &waiter{metrics: metrics, interval: interval, out: p.std.out}
			if err := w.wait(ctx); err != nil {
				return &exitError{exitFailure, err}
			}
			fmt.Fprintln(p.std.out, "every token lives")
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait at most")
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "how long to wait between two looks")
	addConfigFlags(cmd.Flags(), "listen-metrics")
	return cmd
}

// waiter looks again and again until nothing is missing.
type waiter struct {
	metrics  *listenerClient
	interval time.Duration
	out      io.Writer
	// seen is what was missing at the last look, without the reasons, which may
	// count minutes.
	seen string
}

// wait returns nil once every token lives. When ctx ends first, the error says
// what is missing.
func (w *waiter) wait(ctx context.Context) error {
	ticker := time.NewTicker(w.interval)
	defer ticker.Stop()
	last := fmt.Sprintf("the metrics listener %s has not answered yet", w.metrics.address)
	for {
		missing, text, err := w.look(ctx)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if ctx.Err() == nil {
			last = text
			w.tell(missing, text)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not every token lives (%w):\n%s", context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}

// tell prints what is missing if it is not what it was.
func (w *waiter) tell(missing []broker.Missing, text string) {
	now := text
	if len(missing) > 0 {
		now = ""
		for _, m := range missing {
			now += m.Kind + m.AppID + m.State + "\n"
		}
	}
	if now != w.seen {
		fmt.Fprintln(w.out, text)
		w.seen = now
	}
}

// look asks once. text says for people what is missing, or why it is not known.
func (w *waiter) look(ctx context.Context) (missing []broker.Missing, text string, err error) {
	// A sidecar that hangs must not take the whole time.
	const most = 5 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("nothing came within %s", most))
	defer cancel()
	missing, err = w.metrics.missing(ctx)
	if err != nil {
		return nil, err.Error(), err
	}
	lines := make([]string, len(missing))
	for i, m := range missing {
		lines[i] = fmt.Sprintf("%s %s: %s: %s", m.Kind, m.AppID, m.State, m.Reason)
	}
	return missing, strings.Join(lines, "\n"), nil
}

// missing returns what /tokenz lists; nothing when all tokens live.
func (c *listenerClient) missing(ctx context.Context) ([]broker.Missing, error) {
	res, err := c.ask(ctx, http.MethodGet, "/tokenz", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	switch res.StatusCode {
	case http.StatusOK:
		return nil, nil
	case http.StatusServiceUnavailable:
	default:
		return nil, fmt.Errorf("the metrics listener %s answers /tokenz with %s", c.address, res.Status)
	}
	const most = 1 << 20
	var missing []broker.Missing
	if err := json.NewDecoder(io.LimitReader(res.Body, most)).Decode(&missing); err != nil {
		return nil, fmt.Errorf("the metrics listener %s answers /tokenz with %s and no list: %w", c.address, res.Status, err)
	}
	if len(missing) == 0 {
		return nil, fmt.Errorf("the metrics listener %s answers /tokenz with %s and an empty list", c.address, res.Status)
	}
	return missing, nil
}
