package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker/boltstore"
	"github.com/wxsidecar/wxsidecar/broker/rekey"
	"github.com/wxsidecar/wxsidecar/config"
)

func (p *program) rekeyVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Seal the store anew under a new key",
		Long: "Rekey seals every record that is still under seal.previous_key_file, and the CA's file beside a bolt store, anew\n" +
			"under seal.key_file.\n" +
			"Set both, restart serve whenever it suits (it reads under either key), and run rekey: on a bolt store while serve\n" +
			"is stopped, since that has one owner, on Redis at any time, once every replica has been restarted with both.\n" +
			"After it has ended well the previous key can go. It can be stopped and begun again at any time.\n" +
			"Exit codes: 0 nothing needs the previous key any more, 1 something does, 2 the configuration is at fault.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := p.loadValid(cmd.Flags())
			if err != nil {
				return err
			}
			return p.rekey(cmd.Context(), l.Config)
		},
	}
	addConfigFlags(cmd.Flags(), "store", "data-dir")
	return cmd
}

func (p *program) rekey(ctx context.Context, c config.Config) error {
	if c.Seal.PreviousKeyFile == "" {
		return &exitError{exitUsage, fmt.Errorf("rekey: seal.previous_key_file is not set: it names the key that the store is sealed with now, seal.key_file the new one")}
	}
	log := slog.New(slog.NewTextHandler(p.std.err, nil))
	keys, err := sealKeys(c, log)
	if err != nil {
		return &exitError{exitFailure, err}
	}
	store, err := openStore(ctx, c, keys, log)
	if errors.Is(err, boltstore.ErrLocked) {
		err = fmt.Errorf("%w\nhint: stop serve first, then run rekey again", err)
	}
	if err != nil {
		return &exitError{exitFailure, err}
	}
	result, err := rekey.Run(ctx, store.Store, keys)
	err = errors.Join(err, resealCA(caSealedFile(c, keys), &result), store.close())
	fmt.Fprintf(p.std.out, "sealed anew: %d, under the current key already: %d, could not be opened: %d\n",
		result.Resealed, result.Current, len(result.Failed))
	for _, name := range result.Failed {
		fmt.Fprintf(p.std.err, "not opened: %s\n", name)
	}
	if err != nil {
		return &exitError{exitFailure, err}
	}
	return nil
}
