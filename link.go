package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
)

func (p *program) linkVerb() *cobra.Command {
	var r authorize.Request
	cmd := &cobra.Command{
		Use:   "link [COMPONENT]",
		Short: "Print the link on which merchants authorise a component",
		Long: "Link prints the address of the page on which a merchant authorises COMPONENT, an appid that is configured;\n" +
			"where there is only one it may be left out. It is a page of the sidecar's, at push.public_url: WeChat's own page\n" +
			"cannot be opened from a mail or an address bar, as it checks where one comes from. The link does not run out.\n" +
			"Exit codes: 0 printed, 2 the configuration or the command line is at fault.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := p.loadValid(cmd.Flags())
			if err != nil {
				return err
			}
			component, err := componentOf(l.Config, args)
			link := ""
			if err == nil {
				link, err = pageLink(l.Config.Push.PublicURL, component, r)
			}
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("link: %w", err)}
			}
			fmt.Fprintln(p.std.out, link)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.AuthType, "auth-type", "3", "which accounts: 1 official accounts, 2 mini programs, 3 both, 4 mini program promoters,\n5 channels accounts, 6 all, 8 live-sales assistants")
	flags.StringVar(&r.BizAppID, "biz-appid", "", "the only account that may authorise")
	flags.StringVar(&r.CategoryIDList, "category-id-list", "", "ids of permission sets, with | between them")
	flags.StringVar(&r.State, "state", "", "what push.landing_url gets back, at most 128 bytes")
	return cmd
}

// pageLink returns the address of the page on which a merchant authorises the component.
func pageLink(publicURL, component string, r authorize.Request) (string, error) {
	if publicURL == "" {
		return "", errors.New("push.public_url is not set: write the address at which the world reaches the push listener, like https://wx.example.com")
	}
	if err := r.Check(); err != nil {
		return "", err
	}
	return authorize.PageURL(publicURL, component, r), nil
}

// componentOf returns the component that args name, or the only one.
func componentOf(c config.Config, args []string) (string, error) {
	appIDs := make([]string, len(c.Components))
	for i, component := range c.Components {
		appIDs[i] = component.AppID
	}
	if len(args) == 0 {
		return onlyComponent(appIDs)
	}
	if !slices.Contains(appIDs, args[0]) {
		return "", fmt.Errorf("component %q is not configured; there is %s", args[0], strings.Join(appIDs, ", "))
	}
	return args[0], nil
}

// onlyComponent returns the component of those that are configured, if there is one.
func onlyComponent(appIDs []string) (string, error) {
	switch len(appIDs) {
	case 0:
		return "", errors.New("no component is configured")
	case 1:
		return appIDs[0], nil
	default:
		return "", fmt.Errorf("say which component: %s", strings.Join(appIDs, ", "))
	}
}
