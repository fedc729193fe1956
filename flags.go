package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/wxsidecar/wxsidecar/config"
)

// configFlag is a flag that sets one key of the configuration.
type configFlag struct {
	name, usage string
	path        []any
}

var configFlags = []configFlag{
	{"listen-apps", "where apps call: host:port, unix:///path or off", []any{"listen", "apps"}},
	{"listen-push", "where WeChat pushes to", []any{"listen", "push"}},
	{"listen-metrics", "where /metrics, /livez, /readyz and /tokenz are", []any{"listen", "metrics"}},
	{"listen-admin", "where the status page will be; nothing opens there in this version", []any{"listen", "admin"}},
	{"upstream-url", "where WeChat's API is", []any{"upstream", "url"}},
	{"store", "bolt:PATH, or memory: for trials", []any{"store"}},
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

// load reads the configuration for a verb.
func (p *program) load(flags *pflag.FlagSet) *config.Loaded {
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
