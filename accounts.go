package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

func (p *program) accountsVerb() *cobra.Command {
	limit := 0
	cmd := p.adminVerb("accounts", "List accounts with their states",
		"Accounts lists own accounts and merchants, those included that are not in use. With -o json each page of the API is\n"+
			"a line.",
		func(a *asker, _ []string) error { return a.listAccounts(limit) })
	flags := cmd.Flags()
	flags.String("q", "", "a part of the appid")
	flags.String("state", "", "a state, or trouble for all whose last renewal failed")
	flags.String("kind", "", "account or authorizer")
	flags.String("component", "", "the appid of a component")
	flags.IntVar(&limit, "limit", 100, "how many to list at most; 0 for all")
	cmd.AddCommand(p.accountsShowVerb(), p.accountsForgetVerb())
	return cmd
}

// listAccounts asks page by page, until there are limit.
func (a *asker) listAccounts(limit int) error {
	if limit < 0 {
		return &exitError{exitUsage, fmt.Errorf("--limit %d: give a number, 0 for all", limit)}
	}
	var all []broker.AccountStatus
	query := a.query("q", "state", "kind", "component")
	storeError := ""
	for {
		size := 500
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		query.Set("limit", strconv.Itoa(size))
		page, err := show[broker.AccountPage](a, http.MethodGet, "accounts", query, nil)
		if err != nil {
			return err
		}
		all = append(all, page.Accounts...)
		storeError = cmp.Or(storeError, page.StoreError)
		if page.Next == "" || limit > 0 && len(all) >= limit {
			a.endOfAccounts(all, page.Next != "", storeError)
			return nil
		}
		query.Set("cursor", page.Next)
	}
}

func (a *asker) endOfAccounts(all []broker.AccountStatus, more bool, storeError string) {
	if a.json {
		return
	}
	accountRows(a.std.out, all)
	if more {
		fmt.Fprintf(a.std.err, "these are the first %d; --limit 0 lists all\n", len(all))
	}
	if storeError != "" {
		fmt.Fprintln(a.std.err, "warning: "+storeError)
	}
}

func (p *program) accountsShowVerb() *cobra.Command {
	cmd := p.adminVerb("show APPID", "Show one account, by each component that it has authorised",
		"Show prints what is known of an appid, with the tickets for its pages.",
		func(a *asker, args []string) error {
			_, err := show(a, http.MethodGet, "accounts/"+url.PathEscape(args[0]), a.query("component"), func(of admin.AccountsOf) {
				accountRows(a.std.out, of.Accounts)
				for _, s := range of.Accounts {
					for _, t := range s.Tickets {
						fmt.Fprintf(a.std.out, "%s: %s %s\n", t.Kind, t.State, orDash(troubleOf(&t)))
					}
				}
			})
			return err
		})
	return p.ofAccount(cmd)
}

func (p *program) accountsForgetVerb() *cobra.Command {
	cmd := p.adminVerb("forget APPID", "Take away what a merchant's authorization gave",
		"Forget drops the tokens and the refresh token of a merchant who is gone. While the authorization is in force it takes\n"+
			"--force, and WeChat's list, or the next call for the merchant, brings it back.",
		func(a *asker, args []string) error {
			_, err := show(a, http.MethodPost, "accounts/"+url.PathEscape(args[0])+"/forget", a.query("component", "force"), a.printAccount)
			return err
		})
	cmd.Flags().Bool("force", false, "also while the authorization is in force")
	return p.ofAccount(cmd)
}

func (a *asker) printAccount(s broker.AccountStatus) {
	accountRows(a.std.out, []broker.AccountStatus{s})
}

// ofAccount has a verb take one appid, which the shell completes, and --component.
func (p *program) ofAccount(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.Flags().String("component", "", "the component, where the merchant has authorised several")
	cmd.ValidArgsFunction = p.completeAccount
	return cmd
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
