package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/config"
)

// storeText is a store as the configuration writes it.
type storeText struct{ text secret.Text }

// String returns what may be shown of it.
func (s storeText) String() string { return config.ShownStore(s.text.Reveal()) }

func (s storeText) boltPath() (string, bool) { return strings.CutPrefix(s.text.Reveal(), "bolt:") }

func (s storeText) isBolt() bool {
	_, ok := s.boltPath()
	return ok
}

// migrateEnds reads the flags, and the keys from where the configuration says.
func (p *program) migrateEnds(flags *pflag.FlagSet, o migrateOptions) (migrateEnds, *seal.Keyring, error) {
	usage := func(err error) (migrateEnds, *seal.Keyring, error) {
		return migrateEnds{}, nil, &exitError{exitUsage, fmt.Errorf("migrate: %w", err)}
	}
	from, err := migrateEnd("from", o.from, o.fromFile)
	if err != nil {
		return usage(err)
	}
	to, err := migrateEnd("to", o.to, o.toFile)
	if err != nil {
		return usage(err)
	}
	if from.text.Reveal() == to.text.Reveal() {
		return usage(errors.New("--from and --to are the same store"))
	}
	local := from // whose folder has the key file, if nothing else says where it is
	if !from.isBolt() {
		local = to
	}
	l := p.load(flags, config.Assignment{From: config.FromFlag("--from and --to"), Path: []any{"store"}, Value: local.text.Reveal()})
	for _, key := range []string{"seal.key_file", "seal.previous_key_file", "data_dir"} {
		if err := l.ErrOf(key); err != nil {
			return usage(err)
		}
	}
	if err := hasKeyFile(l.Config); err != nil {
		return usage(err)
	}
	keys, err := sealKeys(l.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		return migrateEnds{}, nil, &exitError{exitFailure, err}
	}
	return migrateEnds{from, to}, keys, nil
}

// hasKeyFile refuses to go on where a key would be made: it would open nothing.
func hasKeyFile(c config.Config) error {
	if c.Seal.KeyFile != "" {
		return nil
	}
	path := filepath.Join(c.DataDir, config.KeyFileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no key: seal.key_file is not set, and %s does not exist\n"+
			"hint: give the --config that serve has, or the variable WXSIDECAR_SEAL_KEY_FILE", config.Absolute(path))
	}
	return nil
}

// migrateEnd reads one of the two stores from its flag or from the file that its other flag
// names.
func migrateEnd(flag, text, file string) (storeText, error) {
	switch {
	case text == "" && file == "":
		return storeText{}, fmt.Errorf("--%s is missing: give bolt:PATH or a Redis URL, or --%s-file", flag, flag)
	case text != "" && file != "":
		return storeText{}, fmt.Errorf("--%s and --%s-file are both given: keep one of the two", flag, flag)
	case file != "":
		content, err := os.ReadFile(file)
		if err != nil {
			return storeText{}, fmt.Errorf("--%s-file: %w", flag, err)
		}
		text, flag = strings.TrimRight(string(content), "\r\n"), flag+"-file"
	}
	if config.IsRedis(text) {
		if reason, hint := config.CheckRedis(text); reason != "" {
			return storeText{}, fmt.Errorf("--%s: %s\nhint: %s", flag, reason, hint)
		}
		return storeText{secret.New(text)}, nil
	}
	path, ok := strings.CutPrefix(text, "bolt:")
	if !ok || path == "" || strings.HasSuffix(path, "/") {
		return storeText{}, fmt.Errorf("--%s: not a store that can be copied: give bolt:PATH or a Redis URL", flag)
	}
	return storeText{secret.New("bolt:" + config.Absolute(path))}, nil
}

// missing reports whether the store is a file that is not there.
func (s storeText) missing() bool {
	path, isBolt := s.boltPath()
	_, err := os.Stat(path)
	return isBolt && errors.Is(err, fs.ErrNotExist)
}

// openMigration opens the two stores. A target that is not there stays so in a dry run.
func openMigration(ctx context.Context, ends migrateEnds, keys *seal.Keyring, dryRun bool, log *slog.Logger) (from, to opened, err error) {
	if ends.from.missing() {
		return from, to, fmt.Errorf("the source: there is no file %s\nhint: compare the path; a relative one is relative to the working directory", ends.from)
	}
	if from, err = openStore(ctx, config.Config{Store: ends.from.text}, keys, log); err != nil {
		return from, to, fmt.Errorf("the source: %w", err)
	}
	target := ends.to.text
	if dryRun && ends.to.missing() {
		target = secret.New(config.MemoryStore)
	}
	if to, err = openStore(ctx, config.Config{Store: target}, keys, log); err != nil {
		return from, to, errors.Join(fmt.Errorf("the target: %w", err), from.close())
	}
	return from, to, nil
}
