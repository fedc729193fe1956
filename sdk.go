package main

import (
	"embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/config"
)

// guides are the pages that the verbs sdk and ca print. They are written for the
// default addresses, so that they read well as they are; what a configuration
// says takes the place of these. Those in Chinese stay out, as what verbs print is in
// English.
//
//go:embed docs/sdk/*[a-z].md
var guides embed.FS

// Example values in the guides, which give way to what a configuration says.
const (
	exampleApps      = "127.0.0.1:7080"
	exampleMetrics   = "127.0.0.1:7082"
	exampleCAFile    = "/var/lib/wxsidecar/wxsidecar-ca.pem"
	exampleComponent = "wx7f00c0de00000001"
	exampleAccount   = "wxa000000000000001"
)

// guideNames are the guides for SDKs and HTTP clients, in the order of the list.
var guideNames = []string{
	"curl", "silenceper", "powerwechat", "go", "wechatpy", "python", "co-wechat-api", "node",
	"wxjava", "java", "easywechat", "php", "skit",
}

// readGuide returns a guide's text, without the link to its Chinese version; empty if there
// is none of that name.
func readGuide(name string) string {
	text, err := guides.ReadFile("docs/sdk/" + name + ".md")
	if err != nil {
		return ""
	}
	return strings.Replace(string(text), "[简体中文]("+name+".zh-CN.md)\n\n", "", 1)
}

func (p *program) sdkVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sdk [NAME]",
		Short: "Print the settings with which an SDK or HTTP client calls through the sidecar",
		Long: "Sdk prints, for an SDK or a language's HTTP client, the settings to copy: in which way it reaches the sidecar and why,\n" +
			"environment and options, how the account is chosen, and what becomes of the app's other traffic. The addresses are\n" +
			"those of the configuration, where one is given. Without NAME it lists the names.\n" +
			"Exit codes: 0 printed, 2 there is no such name.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				p.listGuides()
				return nil
			}
			name := strings.ToLower(args[0])
			text := readGuide(name)
			if !slices.Contains(guideNames, name) || text == "" {
				return &exitError{exitUsage, fmt.Errorf("sdk %q: no such name; there are %s", args[0], strings.Join(guideNames, ", "))}
			}
			c := p.load(cmd.Flags()).Config
			if note := appsNote(c.Listen.Apps); note != "" {
				fmt.Fprintln(p.std.err, "warning: "+note)
			}
			fmt.Fprint(p.std.out, fillGuide(text, c))
			return nil
		},
	}
	addConfigFlags(cmd.Flags(), "listen-apps", "listen-metrics", "data-dir")
	return cmd
}

func (p *program) listGuides() {
	for _, name := range guideNames {
		title, _, _ := strings.Cut(strings.TrimPrefix(readGuide(name), "# "), "\n")
		fmt.Fprintf(p.std.out, "%-14s %s\n", name, title)
	}
	fmt.Fprintln(p.std.out, "\nwxsidecar sdk NAME prints the settings.")
}

// appsNote says why the settings cannot work, or "".
func appsNote(apps string) string {
	a, err := config.ParseAddress(apps)
	switch {
	case err != nil || a.IsOff():
		return "listen.apps is " + apps + ": no app can call; the settings are those of the default address"
	case a.Network == "unix":
		return "listen.apps is a socket, which no SDK can call by itself (curl can: --unix-socket " + a.Text +
			"); the settings are those of the default address"
	}
	return ""
}

// fillGuide replaces the guide's example values by what the configuration says.
func fillGuide(text string, c config.Config) string {
	apps, metrics := reachableOr(c.Listen.Apps, exampleApps), reachableOr(c.Listen.Metrics, exampleMetrics)
	host, port, err := net.SplitHostPort(apps)
	if err != nil {
		return text
	}
	component, account := exampleComponent, exampleAccount
	if len(c.Components) > 0 && c.Components[0].AppID != "" {
		component = c.Components[0].AppID
	}
	switch {
	case c.Apps.DefaultAppID != "":
		account = c.Apps.DefaultAppID
	case len(c.Accounts) > 0 && c.Accounts[0].AppID != "":
		account = c.Accounts[0].AppID
	}
	return strings.NewReplacer(
		exampleApps, apps, exampleMetrics, metrics, exampleCAFile, caFileOf(c.DataDir), exampleComponent, component, exampleAccount, account,
		// Where host and port stand apart.
		`Host("127.0.0.1")`, `Host("`+host+`")`, "Port(7080)", "Port("+port+")",
		"proxyHost=127.0.0.1", "proxyHost="+host, "proxyPort=7080", "proxyPort="+port,
		"http-proxy-host=127.0.0.1", "http-proxy-host="+host, "http-proxy-port=7080", "http-proxy-port="+port,
	).Replace(text)
}

// caFileOf returns the path of the CA certificate. Where nothing was configured and
// nothing lies in the working directory, that is not where serve would put it. An empty
// dataDir says that serve writes none.
func caFileOf(dataDir string) string {
	if dataDir == "" {
		return exampleCAFile
	}
	path, err := filepath.Abs(filepath.Join(dataDir, caFileName))
	if err != nil {
		return exampleCAFile
	}
	if _, err := os.Stat(path); err != nil && dataDir == "." {
		return exampleCAFile
	}
	return path
}

// reachableOr returns where an app on this machine reaches the listener.
func reachableOr(text, otherwise string) string {
	a, err := config.ParseAddress(text)
	if err != nil || a.Network != "tcp" {
		return otherwise
	}
	return a.Reachable().Text
}
