package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

func (p *program) quitVerb() *cobra.Command {
	return p.adminVerb("quit", "Have a running sidecar stop, as SIGTERM does",
		"Quit is for Jobs, whose pod ends only once the sidecar has: the app's container calls it when the work is done. It does not\n"+
			"wait for the end.",
		func(a *asker, _ []string) error {
			_, err := show(a, http.MethodPost, "quit", nil, func(d admin.Done) { fmt.Fprintln(a.std.out, d.Done) })
			return err
		})
}
