package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker"
)

func (p *program) ticketVerb() *cobra.Command {
	start := p.adminVerb("start [COMPONENT]", "Have WeChat asked to push tickets",
		"Start has WeChat asked to push tickets for COMPONENT now, once in ten minutes at most; where only one is configured\n"+
			"it may be left out. WeChat then pushes one within ten minutes; the status says what it answered.",
		func(a *asker, args []string) error {
			component, err := a.componentOf(args)
			if err != nil {
				return err
			}
			_, err = show(a, http.MethodPost, "components/"+url.PathEscape(component)+"/ticket/start", nil, func(c broker.ComponentStatus) {
				fmt.Fprintf(a.std.out, "WeChat is asked to push tickets for %s\n", c.AppID)
			})
			return err
		})
	cmd := &cobra.Command{Use: "ticket", Short: "Ask WeChat for tickets", Long: "Ticket start has WeChat asked to push tickets.", RunE: needsSubverb}
	cmd.AddCommand(p.ofComponent(start))
	return cmd
}

// needsSubverb shows the help of a verb that does nothing by itself.
func needsSubverb(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	_ = cmd.Help() // writing to stderr; there is nowhere left to report to
	return &exitError{code: exitUsage}
}
