package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"
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
func (p *program) load(flags *pflag.FlagSet) *Loaded {
	src := sources{
		file: p.configFile, fileFrom: origin{rank: fromFlag, name: "--config"}, env: p.env,
	}
	if src.file == "" {
		src.file, src.fileFrom = p.env[envConfig], origin{rank: fromEnv, name: envConfig}
	}
	for _, f := range configFlags {
		given := flags.Lookup(f.name)
		if given == nil || !given.Changed {
			continue
		}
		src.flags = append(src.flags, assignment{
			from: origin{rank: fromFlag, name: "--" + f.name}, path: f.path, value: given.Value.String(),
		})
	}
	return Load(src)
}

// loadValid is load with the warnings told, and an error for a configuration that
// cannot be used.
func (p *program) loadValid(flags *pflag.FlagSet) (*Loaded, error) {
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
