package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

func (p *program) reloadVerb() *cobra.Command {
	return p.adminVerb("reload", "Have a running sidecar read its configuration anew",
		"Reload has components, accounts, callers and events taken over, all of them or, if anything is wrong, none. It says what\n"+
			"is wrong, and which changed keys need a restart.\n"+
			"Exit codes: 0 in force, 1 refused, or no answer came, 2 the command line or the address is at fault.",
		func(a *asker, _ []string) error {
			r, err := show(a, http.MethodPost, "reload", nil, a.printReload)
			if err == nil && !r.Applied {
				return errNotDone("the changed configuration is not used; the old one stays in force")
			}
			return err
		})
}

func (a *asker) printReload(r admin.ReloadResult) {
	for _, f := range r.Faults {
		fmt.Fprintln(a.std.err, f)
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(a.std.err, "warning: "+w)
	}
	for _, key := range r.NeedRestart {
		fmt.Fprintln(a.std.err, "warning: "+key+": a change of this key needs a restart")
	}
	if r.Applied {
		fmt.Fprintln(a.std.out, "the configuration is in force")
	}
}
