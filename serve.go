package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/config"
)

// brokerGrace is how long the broker and the admin listeners may take to end, beyond what calls
// have left of shutdown.grace.
const brokerGrace = 3 * time.Second

// sameSignal is the time within which two equal signals count as one.
const sameSignal = 200 * time.Millisecond

// pollEvery is how often the configuration's files are looked at for a change.
const pollEvery = 3 * time.Second

func (p *program) serveVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the sidecar",
		Long: "Serve opens the store and the listeners and keeps the tokens fresh until SIGTERM or SIGINT. Then it turns\n" +
			"/readyz to 503, takes calls for shutdown.delay, lets those under way end within shutdown.grace, and closes the\n" +
			"store. A second signal ends it at once. On SIGHUP, or when the configuration file or a secret's file changes, it\n" +
			"takes over components, accounts, callers and events; the rest needs a restart. SIGHUP also retries keys that an\n" +
			"exhausted quota or a misconfiguration stopped, and events that an app did not take for a day. It logs on stderr.\n" +
			"Exit codes: 0 stopped in order, 1 failed or calls had to be cut off, 2 the configuration is at fault,\n" +
			"128 and the signal's number for a second signal.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			signals := make(chan os.Signal, 4)
			signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
			defer signal.Stop(signals)
			l := p.load(cmd.Flags())
			if err := l.Err(); err != nil {
				fmt.Fprintln(p.std.err, err)
				return &exitError{code: exitUsage}
			}
			level := &slog.LevelVar{}
			log := newLogger(p.std.err, l.Config.Log, level)
			logWarnings(log, l)
			if err := harden(); err != nil {
				log.Warn("a core dump could show secrets", "error", err)
			}
			return p.serve(cmd.Context(), l, log, level, signals, func() *config.Loaded { return p.load(cmd.Flags()) })
		},
	}
	addConfigFlags(cmd.Flags())
	return cmd
}

// serve starts a sidecar, runs it until it is told to stop, and stops it.
func (p *program) serve(ctx context.Context, l *config.Loaded, log *slog.Logger, level *slog.LevelVar, signals <-chan os.Signal, load func() *config.Loaded) error {
	s, err := p.startable(ctx, l.Config, log, signals)
	if s == nil {
		return err
	}
	s.control.level = level
	s.metrics.ConfigRead(true, s.broker.Now())
	s.start()
	r := &reloader{sidecar: s, config: l.Config, files: l.Files, load: load, log: log}
	first, cause := s.watch(ctx, r, signals)
	shutdown := l.Config.Shutdown
	if cause != nil {
		shutdown.Delay = 0 // it lets load balancers notice; a sidecar that failed serves nobody
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop(shutdown) }()
	select {
	case err := <-stopped:
		return stopResult(cause, err)
	case sig := <-secondSignal(signals, first):
		log.Warn("second signal: ending at once", "signal", sig.String())
		return &exitError{code: 128 + int(sig)}
	}
}

// startable returns a sidecar that can be started; none, with or without an error, if it
// cannot or if a signal comes first.
func (p *program) startable(ctx context.Context, c config.Config, log *slog.Logger, signals <-chan os.Signal) (*sidecar, error) {
	w := watchStart(ctx, signals)
	s, err := newSidecar(w.ctx, c, log)
	sig := w.stop()
	switch {
	case sig == nil && err == nil:
		return s, nil
	case sig == nil:
		return nil, &exitError{exitFailure, err}
	}
	log.Info("stopping before the start was complete", "signal", sig.String())
	if err == nil {
		err = s.closeAll()
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return nil, nil
	}
	return nil, &exitError{exitFailure, err}
}

// secondSignal passes on the next signal, which asks to end at once. Wrappers such as
// timeout(1) send one signal both to the process and to its group, so a copy of first
// within sameSignal does not count.
func secondSignal(signals <-chan os.Signal, first os.Signal) <-chan syscall.Signal {
	second, soon := make(chan syscall.Signal, 1), time.After(sameSignal)
	go func() {
		for {
			select {
			case <-soon:
				first = nil
			case sig, ok := <-signals:
				number, _ := sig.(syscall.Signal)
				switch {
				case !ok:
					return
				case sig != syscall.SIGHUP && sig != first:
					second <- number
					return
				}
			}
		}
	}()
	return second
}

func stopResult(cause, stopped error) error {
	if err := errors.Join(cause, stopped); err != nil {
		return &exitError{exitFailure, err}
	}
	return nil
}

// watch reloads the configuration when it changes. It returns the signal that asks to
// stop, or the error of a part of the sidecar that failed.
func (s *sidecar) watch(ctx context.Context, r *reloader, signals <-chan os.Signal) (os.Signal, error) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				s.log.Info("stopping", "signal", sig.String())
				return sig, nil
			}
			r.reload("SIGHUP")
			s.broker.Admin().ResetBudgets()      // an operator may have cured what stopped them
			s.redeliveries.Go(s.redeliverEvents) // many take minutes, in which a signal must be heard
		case result := <-s.control.reloads:
			result <- r.reload("the admin API")
		case <-s.control.quits:
			s.log.Info("stopping", "why", "the admin API")
			return syscall.SIGTERM, nil
		case <-poll.C:
			r.poll()
		case err := <-s.failed:
			s.log.Error("stopping, as a part failed", "error", err)
			return nil, err
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// stop ends the sidecar in the order in which its parts need each other. Its
// error names what did not end within the grace.
func (s *sidecar) stop(c config.Shutdown) error {
	s.state.Store(stateDraining)
	delay := time.NewTimer(c.Delay)
	<-delay.C
	ctx, cancel := context.WithTimeout(context.Background(), c.Grace+s.brokerGrace)
	defer cancel()
	errs := s.stopTraffic(c.Grace)
	s.stopRelease()
	s.stopBroker()
	select {
	case <-s.brokerDone:
	case <-ctx.Done():
		// Closing the store now would block, or close it during a renewal.
		return errors.Join(append(errs, fmt.Errorf("a renewal under way did not end within shutdown.grace %s: its token may be lost and asked for anew", c.Grace))...)
	}
	s.redeliveries.Wait()
	for _, l := range s.admin {
		if err := l.server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.key, err))
		}
	}
	if err := s.closeStore(); err != nil {
		errs = append(errs, fmt.Errorf("close the store: %w", err))
	}
	s.log.Info("stopped")
	return errors.Join(errs...)
}

// stopTraffic drains apps, then push, all within grace.
func (s *sidecar) stopTraffic(grace time.Duration) []error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var errs []error
	for _, l := range s.traffic {
		if err := l.server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: calls were cut off after shutdown.grace %s: %w", l.key, grace, err))
		}
	}
	return errs
}
