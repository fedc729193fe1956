package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) checkVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and report everything that is wrong with it",
		Long: "Check reads the configuration as serve would and reports all its faults and warnings on stderr.\n" +
			"It opens no listener and no store, and asks nobody.\nExit codes: 0 it can be used, 2 it cannot.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := p.loadValid(cmd.Flags())
			if err != nil {
				return err
			}
			fmt.Fprintln(p.std.out, "configuration ok: "+l.Config.Summary())
			return nil
		},
	}
	addConfigFlags(cmd.Flags())
	return cmd
}
