// Command wxsidecar is a token broker that stands beside an app's container and
// gives every call to WeChat's API the token that it needs.
//
// The package main only wires: configuration, verbs, start and stop. What tokens
// exist and when they are renewed is in broker, the data path in proxy, pushes
// from WeChat in proxy/push.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wxsidecar/wxsidecar/config"
)

// Exit codes. A second signal while serve is stopping ends it at once with 128
// and the signal's number, as a shell reports it.
const (
	exitOK = 0
	// exitFailure: what was asked for did not succeed.
	exitFailure = 1
	// exitUsage: the command line or the configuration is at fault; trying again
	// without a change fails again.
	exitUsage = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), stdio{os.Stdout, os.Stderr}))
}

// stdio is where a verb writes.
type stdio struct{ out, err io.Writer }

// run carries out one command line and returns the exit code. environ has the
// form of os.Environ.
func run(ctx context.Context, args, environ []string, std stdio) int {
	p := &program{env: config.NewEnvironment(environ), std: std}
	root := p.rootVerb()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		// What cobra itself refuses: an unknown verb, a flag, an argument.
		exit = &exitError{exitUsage, fmt.Errorf("%w\nrun wxsidecar --help", err)}
	}
	if exit.err != nil {
		fmt.Fprintf(std.err, "wxsidecar: %v\n", exit.err)
	}
	return exit.code
}

// exitError ends the program with a code. A nil err has been told already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d: %v", e.code, e.err) }

func (e *exitError) Unwrap() error { return e.err }

// program is what every verb has at hand.
type program struct {
	env config.Environment
	std stdio
	// configFile is the value of --config.
	configFile string
}

// rootVerb returns the command with all verbs. Templates for help and usage must
// not be set: text/template would switch off the linker's dead-code elimination.
func (p *program) rootVerb() *cobra.Command {
	root := &cobra.Command{
		Use:           "wxsidecar",
		Short:         "A token broker that stands beside an app and keeps its WeChat tokens",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(p.std.err)
			_ = cmd.Help() // writing to stderr; there is nowhere left to report to
			return &exitError{code: exitUsage}
		},
	}
	root.SetOut(p.std.out)
	root.SetErr(p.std.err)
	root.PersistentFlags().StringVar(&p.configFile, "config", "", "path of the configuration file (else the variable "+config.EnvFile+")")
	for _, verb := range p.verbs() {
		if verb.Args == nil {
			verb.Args = cobra.NoArgs
		}
		root.AddCommand(verb)
	}
	return root
}

// verbs returns a command for each verb, in the order in which they are usually needed.
func (p *program) verbs() []*cobra.Command {
	return []*cobra.Command{
		p.checkVerb(),
		p.serveVerb(),
		p.rekeyVerb(),
		p.migrateVerb(),
		p.importVerb(),
		p.waitVerb(),
		p.healthVerb(),
		p.statusVerb(),
		p.accountsVerb(),
		p.renewVerb(),
		p.reconcileVerb(),
		p.ticketVerb(),
		p.eventsVerb(),
		p.reloadVerb(),
		p.quitVerb(),
		p.routesVerb(),
		p.linkVerb(),
		p.sdkVerb(),
		p.caVerb(),
		p.versionVerb(),
	}
}

// configFlag is a flag that sets one key of the configuration.
type configFlag struct {
	name, usage string
	path        []any
}

var configFlags = []configFlag{
	{"listen-apps", "where apps call: host:port, unix:///path or off", []any{"listen", "apps"}},
	{"listen-push", "where WeChat pushes to", []any{"listen", "push"}},
	{"listen-metrics", "where /metrics, /livez, /readyz and /tokenz are", []any{"listen", "metrics"}},
	{"listen-admin", "where operators look, and the verbs that ask a running sidecar", []any{"listen", "admin"}},
	{"upstream-url", "where WeChat's API is", []any{"upstream", "url"}},
	{"store", "bolt:PATH, a Redis URL, or memory: for trials", []any{"store"}},
	{"data-dir", "where the key file and the CA certificate lie", []any{"data_dir"}},
	{"log-level", "debug, info, warn or error", []any{"log", "level"}},
	{"log-format", "text, json or auto", []any{"log", "format"}},
}

// addConfigFlags gives a verb the flags that are named, all of them for none.
func addConfigFlags(flags *pflag.FlagSet, names ...string) {
	for _, f := range configFlags {
		if len(names) == 0 || slices.Contains(names, f.name) {
			flags.String(f.name, "", f.usage)
		}
	}
}

// load reads the configuration for a verb, which may set keys of its own.
func (p *program) load(flags *pflag.FlagSet, own ...config.Assignment) *config.Loaded {
	src := config.Sources{
		File: p.configFile, FileFrom: config.FromFlag("--config"), Env: p.env,
	}
	if src.File == "" {
		src.File, src.FileFrom = p.env[config.EnvFile], config.FromVariable(config.EnvFile)
	}
	for _, f := range configFlags {
		given := flags.Lookup(f.name)
		if given == nil || !given.Changed {
			continue
		}
		src.Flags = append(src.Flags, config.Assignment{
			From: config.FromFlag("--" + f.name), Path: f.path, Value: given.Value.String(),
		})
	}
	src.Flags = append(src.Flags, own...)
	return config.Load(src)
}

// loadValid is load with the warnings told, and an error for a configuration that
// cannot be used.
func (p *program) loadValid(flags *pflag.FlagSet) (*config.Loaded, error) {
	l := p.load(flags)
	for _, w := range l.Warnings {
		fmt.Fprintln(p.std.err, "warning: "+w)
	}
	if err := l.Err(); err != nil {
		fmt.Fprintln(p.std.err, err)
		return nil, &exitError{code: exitUsage}
	}
	return l, nil
}
