package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

func (p *program) reconcileVerb() *cobra.Command {
	var timeout time.Duration
	cmd := p.adminVerb("reconcile [COMPONENT]", "Compare a component's merchants with WeChat's list",
		"Reconcile has WeChat's list of those who have authorised COMPONENT read, and waits for its end; where only one is\n"+
			"configured it may be left out. On the way it says on stderr how far that is.\n"+
			"Exit codes: 0 read to its end, 1 not within the timeout, or no answer came, 2 the command line or the address is at fault.",
		func(a *asker, args []string) error {
			component, err := a.componentOf(args)
			if err != nil {
				return err
			}
			path := "components/" + url.PathEscape(component)
			if _, err := a.ask(http.MethodPost, path+"/reconcile", nil); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(a.ctx, timeout, fmt.Errorf("--timeout %s is over", timeout))
			defer cancel()
			if err := a.followList(ctx, path); err != nil {
				return err
			}
			_, err = show(a, http.MethodGet, path, nil, func(c broker.ComponentStatus) {
				fmt.Fprintf(a.std.out, "the list of %s was read at %s: %d merchants\n", c.AppID, shownAt(c.List.ReadAt), c.List.Accounts)
			})
			return err
		})
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long to wait for its end")
	return p.ofComponent(cmd)
}

// lookEvery is how often a verb that waits looks again.
const lookEvery = 200 * time.Millisecond

// followList says how far the reading of the list is until its end.
func (a *asker) followList(ctx context.Context, path string) error {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	said := ""
	for {
		c, _, err := read[broker.ComponentStatus](a, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		if !c.List.Pending && !c.List.Reading {
			return nil
		}
		if now := listProgress(&c); now != said {
			said = now
			fmt.Fprintln(a.std.err, now)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errNotDone(fmt.Sprintf("the list was not read to its end (%v): %s", context.Cause(ctx), said))
		}
	}
}

func listProgress(c *broker.ComponentStatus) string {
	switch {
	case c.List.Reading && c.List.Total > 0:
		return fmt.Sprintf("%d of %d", c.List.Accounts, c.List.Total)
	case c.List.Reading:
		return "reading the list"
	case c.List.Error != "":
		return "it broke off and goes on at " + shownAt(c.List.RetryAt) + ": " + orDash(c.List.Error)
	case c.State != broker.StateLive.String():
		return "it waits for the component's token: " + orDash(c.Reason)
	default:
		return "it is read soon"
	}
}

// components returns those that are configured.
func (a *asker) components() ([]broker.ComponentStatus, error) {
	all, _, err := read[admin.Components](a, http.MethodGet, "components", nil)
	return all.Components, err
}

// componentOf returns the component that args name, or the only one.
func (a *asker) componentOf(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	all, err := a.components()
	if err != nil {
		return "", err
	}
	var appIDs []string
	for _, c := range all {
		appIDs = append(appIDs, c.AppID)
	}
	component, err := onlyComponent(appIDs)
	if err != nil {
		return "", &exitError{exitUsage, err}
	}
	return component, nil
}

// ofComponent has a verb take one component at most, which the shell completes.
func (p *program) ofComponent(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = p.completeComponent
	return cmd
}
