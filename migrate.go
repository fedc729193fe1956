package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker/migrate"
	"github.com/wxsidecar/wxsidecar/broker/seal"
)

func (p *program) migrateVerb() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Copy the store into another, from a file to Redis or back",
		Long: "Migrate copies every record of one store into another (bolt:PATH or a Redis URL, either way), and the CA that apps\n" +
			"trust. Stop every sidecar on both first. Records stay sealed as they are: the key is that of seal.key_file, or the\n" +
			"key file in data_dir, the bolt file's folder by default. A target that has other records is refused, unless --replace\n" +
			"is given; then it has exactly those of the source. In the end both stores are read again, and every record of the\n" +
			"target is opened. It can be stopped and begun again at any time: what is there already is passed over. The source is\n" +
			"left as it is; start no sidecar on it any more once one runs on the target. A URL with a password belongs in a file\n" +
			"(--from-file, --to-file), as others see the command line.\n" +
			"Exit codes: 0 the target has everything (with --dry-run: it would), 1 it has not, 2 the command line or the\n" +
			"configuration is at fault.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			ends, keys, err := p.migrateEnds(cmd.Flags(), o)
			if err != nil {
				return err
			}
			if err := p.migrate(ctx, ends, keys, o); err != nil {
				return &exitError{exitFailure, explainMigration(err)}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.from, "from", "", "the store that is copied: bolt:PATH or a Redis URL")
	flags.StringVar(&o.fromFile, "from-file", "", "the file that holds the value of --from")
	flags.StringVar(&o.to, "to", "", "the store that it is copied to")
	flags.StringVar(&o.toFile, "to-file", "", "the file that holds the value of --to")
	flags.BoolVar(&o.dryRun, "dry-run", false, "look only, and say what would be done")
	flags.BoolVar(&o.replace, "replace", false, "overwrite and delete what the target has otherwise")
	addConfigFlags(flags, "data-dir")
	return cmd
}

type migrateOptions struct {
	from, fromFile, to, toFile string
	dryRun, replace            bool
}

// migrateEnds are the texts of the two stores.
type migrateEnds struct{ from, to storeText }

// migrate opens the two stores, copies and reports.
func (p *program) migrate(ctx context.Context, ends migrateEnds, keys *seal.Keyring, o migrateOptions) (err error) {
	log := slog.New(slog.NewTextHandler(p.std.err, nil))
	from, to, err := openMigration(ctx, ends, keys, o.dryRun, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close(), from.close()) }()
	ca, err := planCA(ctx, ends.from.ca(from, keys), ends.to.ca(to, keys), o.replace)
	if err != nil {
		return err
	}
	result, err := migrate.Run(ctx, migrate.Options{
		From: from.Store, To: to.Store, Keys: keys, Ignore: []string{caRecord, caDamagedRecord}, Replace: o.replace, DryRun: o.dryRun,
	})
	if err == nil && !o.dryRun {
		err = ca.copy(ctx)
	}
	if err != nil {
		return err
	}
	p.reportMigration(ends, result, ca, o)
	if n := len(result.Damaged); n > 0 {
		return fmt.Errorf("%d records were left behind, as they are damaged; all others are there\n"+
			"hint: nothing has to be done for tokens and tickets: serve asks WeChat for them anew", n)
	}
	return nil
}

// reportMigration says what was done, or would be.
func (p *program) reportMigration(ends migrateEnds, r migrate.Result, ca caPlan, o migrateOptions) {
	out := p.std.out
	done := ""
	if o.dryRun {
		done = "dry run, nothing was written; it would be: "
	}
	fmt.Fprintf(out, "from %s to %s\n%scopied: %d, replaced: %d, removed: %d, there already: %d, damaged and left behind: %d\nCA: %s\n",
		ends.from, ends.to, done, r.Copied, r.Replaced, r.Removed, r.Same, len(r.Damaged), ca)
	for _, name := range r.Damaged {
		fmt.Fprintf(p.std.err, "damaged: %s\n", name)
	}
	if !o.dryRun {
		fmt.Fprintf(out, "checked: the target has %d records, those of the source, and each opens\n", r.Records())
		adviseAfterMigration(out, ends.to)
	}
}

func adviseAfterMigration(out io.Writer, to storeText) {
	if to.isBolt() {
		fmt.Fprintln(out, "next: set store to the target and start one sidecar; start none on the source any more")
		return
	}
	fmt.Fprintln(out, "next: set store to the target and seal.key_file to the same key on every replica; start none on the source any more")
}

// explainMigration adds what to do to an error.
func explainMigration(err error) error {
	var occupied *migrate.OccupiedError
	switch {
	case errors.As(err, &occupied):
		return fmt.Errorf("%w\nhint: compare the address; if the target is the right one and the source has what counts, add --replace. "+
			"Later records in the target mean that a sidecar has run on it since: then it is the source that is old", err)
	case errors.Is(err, migrate.ErrEmpty):
		return fmt.Errorf("%w\nhint: compare the address, for Redis also its database and prefix", err)
	case errors.Is(err, migrate.ErrChanged):
		return fmt.Errorf("%w\nhint: a sidecar still uses one of the two stores: stop it, and run migrate again", err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w\nhint: it was interrupted; run it again to go on", err)
	default:
		return err
	}
}
