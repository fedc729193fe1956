package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/boltstore"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/config"
)

func (p *program) importVerb() *cobra.Command {
	var o importOptions
	o.now = time.Now
	cmd := &cobra.Command{
		Use:   "import FROM [SOURCE]",
		Short: "Take over refresh tokens and tickets from where an SDK holds them",
		Args:  cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault // a file
			}
			return importNames(), cobra.ShellCompDirectiveNoFileComp
		},
		Long: "Import reads refresh tokens and component_verify_tickets where they are held today, and puts them into the store, so\n" +
			"that no merchant has to authorise again. FROM says who holds them, and SOURCE where:\n" +
			importHelp() +
			"Without --write it is a dry run: it says what would become of each, and writes nothing. It calls WeChat with --check\n" +
			"alone, and then only to read the list of authorizers; it never uses a refresh token. Before --write, stop what renews\n" +
			"tokens in the old system: two that renew take each other's tokens away. What the store has from WeChat itself is not\n" +
			"overwritten, unless WeChat has refused it since. It can be stopped and begun again at any time. A bolt store has one\n" +
			"owner: stop serve first; on Redis replicas may run, and take over what comes. A SOURCE with a password belongs in a\n" +
			"file (--source-file), as others see the command line.\n" +
			"Exit codes: 0 all that was found is accounted for, 1 some of it is malformed and named, or it failed, 2 the command\n" +
			"line or the configuration is at fault.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.take(args); err != nil {
				return &exitError{exitUsage, fmt.Errorf("import: %w", err)}
			}
			l, err := p.loadValid(cmd.Flags())
			if err != nil {
				return err
			}
			return p.importFrom(cmd.Context(), l.Config, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.sourceFile, "source-file", "", "the file that holds SOURCE")
	flags.StringVar(&o.prefix, "prefix", "", "what the keys in Redis begin with, where that was changed")
	flags.StringVar(&o.component, "component", "", "the appid of the platform: where the source does not say, or only this one")
	flags.BoolVar(&o.write, "write", false, "put into the store what was found")
	flags.BoolVar(&o.check, "check", false, "read WeChat's list of authorizers, and say what it no longer has")
	flags.BoolVar(&o.fetchToken, "fetch-token", false, "let --check fetch a component token if none lives: that displaces the old system's, so stop it first")
	flags.StringVarP(&o.output, "output", "o", "table", "table for people, json for programs")
	addConfigFlags(flags, "store", "data-dir", "upstream-url")
	return cmd
}

// importOptions are the command line of import.
type importOptions struct {
	from                          importReader
	source                        secret.Text
	sourceFile, prefix, component string
	output                        string
	write, check, fetchToken      bool
	now                           func() time.Time // for tokens that are dead, and ages
}

// take reads the arguments.
func (o *importOptions) take(args []string) error {
	var ok bool
	if o.from, ok = importReaderNamed(args[0]); !ok {
		return fmt.Errorf("%q: nothing can be imported from there; give one of: %s", args[0], strings.Join(importNames(), ", "))
	}
	switch {
	case len(args) == 2 && o.sourceFile != "":
		return errors.New("SOURCE and --source-file are both given: keep one of the two")
	case len(args) == 2:
		o.source = secret.New(args[1])
	case o.sourceFile != "":
		var err error
		if o.source, err = readSourceFile(o.sourceFile); err != nil {
			return fmt.Errorf("--source-file: %w", err)
		}
	}
	switch {
	case o.source.IsZero():
		return fmt.Errorf("SOURCE is missing: give %s", o.from.source)
	case o.output != "table" && o.output != "json":
		return fmt.Errorf("--output %s: give table or json", o.output)
	case o.fetchToken && !o.check:
		return errors.New("--fetch-token is of use with --check only")
	case o.prefix != "" && !config.IsRedis(o.source.Reveal()):
		return errors.New("--prefix is for keys in Redis only")
	}
	return nil
}

// importFrom reads the source, asks WeChat if that is wanted, and writes or says what it would.
func (p *program) importFrom(ctx context.Context, c config.Config, o importOptions) (err error) {
	if len(c.Components) == 0 {
		return &exitError{exitUsage, errors.New("import: no platform is configured; add it to components")}
	}
	if o.component != "" && !isComponent(c, o.component) {
		return &exitError{exitUsage, fmt.Errorf("import: --component %s: no such platform is configured; add it to components, or give one of them", o.component)}
	}
	if c.Store.Reveal() == config.MemoryStore {
		return &exitError{exitUsage, errors.New("import: store is memory:, which keeps nothing")}
	}
	fail := func(err error) error { return &exitError{exitFailure, explainImport(err)} }
	found, err := o.from.findings(ctx, o)
	if err != nil {
		return fail(err)
	}
	// Until here a signal ends the program at once, also where it waits for stdin: nothing was written.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	rows := newImportRows(c, o, found)
	records, importer, err := p.openImport(ctx, c, o)
	if err != nil {
		return fail(err)
	}
	defer func() {
		if closed := records.close(); closed != nil && err == nil {
			err = fail(closed)
		}
	}()
	if o.check {
		if err := rows.check(ctx, c, o, importer); err != nil {
			return fail(fmt.Errorf("--check: %w; nothing was written", err))
		}
	}
	items, of := rows.items()
	results, err := importer.Import(ctx, items, o.write)
	if err != nil {
		return fail(err)
	}
	for i, result := range results {
		of[i].settle(result)
	}
	if err := rows.report(p.std.out, o); err != nil {
		return fail(err)
	}
	if n := rows.count(resultMalformed); n > 0 {
		return &exitError{exitFailure, fmt.Errorf("%d of what was found cannot be used, see %s above", n, resultMalformed)}
	}
	return nil
}

// openImport opens the store. A dry run makes none.
func (p *program) openImport(ctx context.Context, c config.Config, o importOptions) (opened, *broker.Importer, error) {
	log := slog.New(slog.NewTextHandler(p.std.err, nil))
	if (storeText{c.Store}).missing() && !o.write {
		c.Store, c.Seal = secret.New(config.MemoryStore), config.Config{}.Seal
	}
	keys, err := sealKeys(c, log)
	if err != nil {
		return opened{}, nil, err
	}
	records, err := openStore(ctx, c, keys, log)
	if err != nil {
		return opened{}, nil, err
	}
	importer, err := broker.NewImporter(ctx, broker.ImportOptions{Store: records.Store, Seal: keys, Log: log})
	if err != nil {
		return opened{}, nil, errors.Join(err, records.close())
	}
	return records, importer, nil
}

// explainImport adds what to do to an error.
func explainImport(err error) error {
	switch {
	case errors.Is(err, boltstore.ErrLocked):
		return fmt.Errorf("%w\nhint: stop serve first, then run import again", err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w\nhint: it was interrupted; run it again to go on", err)
	default:
		return err
	}
}
