package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// completeTime is how long the shell may wait for appids.
const completeTime = 2 * time.Second

// complete asks the sidecar for what an argument may be. Where it does not answer there is
// nothing to offer.
func complete[T any](p *program, cmd *cobra.Command, path string, query url.Values, ids func(T) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	a, err := p.newAsker(ctx, cmd.Flags())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	answer, _, err := read[T](a, http.MethodGet, path, query)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return ids(answer), cobra.ShellCompDirectiveNoFileComp
}

func (p *program) completeAccount(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(p, cmd, "accounts", url.Values{"q": {begun}}, func(page broker.AccountPage) (ids []string) {
		for _, s := range page.Accounts {
			ids = append(ids, s.AppID)
		}
		return ids
	})
}

func (p *program) completeComponent(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(p, cmd, "components", nil, func(all admin.Components) (ids []string) {
		for _, c := range all.Components {
			ids = append(ids, c.AppID)
		}
		return ids
	})
}
