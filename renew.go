package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

func (p *program) renewVerb() *cobra.Command {
	var wait time.Duration
	cmd := p.adminVerb("renew APPID", "Renew the token of an account or a component now",
		"Renew has a token renewed, whatever stands against it: say, after its secret was corrected, or its quota cleared. It\n"+
			"waits for the outcome and prints it.\n"+
			"Exit codes: 0 a living token is there, 1 not, or no answer came, 2 the command line or the address is at fault.",
		func(a *asker, args []string) error {
			query := a.query("component")
			query.Set("wait", wait.String())
			path, err := a.pathOf(args[0])
			if err != nil {
				return err
			}
			s, err := show(a, http.MethodPost, path+"/renew", query, func(s admin.Renewed) { a.printAccount(s.AccountStatus) })
			switch {
			case err != nil:
				return err
			case !s.Ended:
				return errNotDone(fmt.Sprintf("the renewal goes on; it did not end within --wait %s", wait))
			case s.Trouble != nil || s.State != broker.StateLive.String():
				return errNotDone("the renewal failed: " + troubleOf(&s.KeyStatus))
			default:
				return nil
			}
		})
	cmd.Flags().DurationVar(&wait, "wait", 20*time.Second, "how long to wait for the outcome, at most 30s")
	return p.ofAccount(cmd)
}

// pathOf returns the path of an appid: a component's or an account's.
func (a *asker) pathOf(appID string) (string, error) {
	all, err := a.components()
	if err != nil {
		return "", err
	}
	for _, c := range all {
		if c.AppID == appID {
			return "components/" + url.PathEscape(appID), nil
		}
	}
	return "accounts/" + url.PathEscape(appID), nil
}
