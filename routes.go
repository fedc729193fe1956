package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

func (p *program) routesVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "routes [PATH...]",
		Short: "Print how calls to a path of WeChat's API are treated, and why",
		Long: "Routes prints which token a call to each PATH gets, in which parameter, and why. Without a PATH it\n" +
			"prints the whole catalogue, one path a line: the path, whose token, the parameter, the metric's family.\n" +
			"It reads no configuration and asks nobody.\nExit codes: 0.",
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, paths []string) error {
			table, err := routes.New()
			if err != nil {
				return &exitError{exitFailure, err}
			}
			for _, path := range paths {
				fmt.Fprintln(p.std.out, table.Explain(path))
			}
			if len(paths) > 0 {
				return nil
			}
			for _, r := range table.All() {
				fmt.Fprintf(p.std.out, "%s\t%s\t%s\t%s\n", r.Pattern, r.Kind, cmp.Or(r.Param, "-"), r.Family)
			}
			return nil
		},
	}
}
