package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/boltstore"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/config"
)

// sealKeys returns the keys that seal the store: those that are configured, else
// the one in data_dir, which is made at the first start. A store in memory needs
// none that outlives it.
func sealKeys(c config.Config, log *slog.Logger) (*seal.Keyring, error) {
	current, err := currentKey(c, log)
	if err != nil {
		return nil, err
	}
	var previous []byte
	if c.Seal.PreviousKeyFile != "" {
		if previous, err = seal.ReadKeyFile(c.Seal.PreviousKeyFile); err != nil {
			return nil, fmt.Errorf("seal.previous_key_file: %w", err)
		}
	}
	return seal.New(current, previous)
}

func currentKey(c config.Config, log *slog.Logger) ([]byte, error) {
	if path := c.Seal.KeyFile; path != "" {
		if warning := seal.KeyFileWarning(path); warning != "" {
			log.Warn(warning)
		}
		key, err := seal.ReadKeyFile(path)
		if err != nil {
			return nil, fmt.Errorf("seal.key_file: %w", err)
		}
		return key, nil
	}
	if c.Store.Reveal() == config.MemoryStore {
		key := make([]byte, seal.KeySize)
		_, _ = rand.Read(key) // documented never to fail
		return key, nil
	}
	path := filepath.Join(c.DataDir, config.KeyFileName)
	if err := keyNotLost(c, path); err != nil {
		return nil, err
	}
	key, created, err := seal.ReadOrCreateKeyFile(path)
	if err != nil {
		return nil, err
	}
	text := "the store is sealed with the key in this file, as seal.key_file is not set; keep it apart from copies of the store"
	if created {
		text = "made a key file, as seal.key_file is not set: without it the store cannot be read"
	}
	log.Warn(text, "file", config.Absolute(path))
	if warning := seal.KeyFileWarning(path); warning != "" {
		log.Warn(warning)
	}
	return key, nil
}

// keyNotLost refuses to make a new key for a store that is sealed with one that is
// gone: it would hide the loss.
func keyNotLost(c config.Config, keyFile string) error {
	store, _ := strings.CutPrefix(c.Store.Reveal(), "bolt:")
	if _, err := os.Stat(keyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if info, err := os.Stat(store); err != nil || info.Size() == 0 {
		return nil
	}
	return fmt.Errorf("the key file %s is missing, and the store %s is sealed with it: put the file back, set seal.key_file, "+
		"or move the store away to begin anew (WeChat brings everything back with the next ticket)", keyFile, store)
}

// opened is a store with what closes it.
type opened struct {
	store.Store
	close func() error
	// recovery returns what was damaged and moved aside, so that records may be missing or old;
	// nil for nothing.
	recovery func() *boltstore.Recovery
}

// unharmed is the recovery of a store that is no file.
func unharmed() *boltstore.Recovery { return nil }

// openStore opens the configured store. It does not wait for one that is not there.
func openStore(ctx context.Context, c config.Config, keys *seal.Keyring, log *slog.Logger) (opened, error) {
	text := c.Store.Reveal()
	if path, ok := strings.CutPrefix(text, "bolt:"); ok {
		return openBolt(path, keys, log)
	}
	if config.IsRedis(text) {
		return openRedis(ctx, c.Store, log)
	}
	return opened{Store: memstore.New(memstore.Options{}), close: func() error { return nil }, recovery: unharmed}, nil
}

func openBolt(path string, keys *seal.Keyring, log *slog.Logger) (opened, error) {
	store, err := boltstore.Open(boltstore.Options{
		Path: path, Log: log,
		Check: func(name string, rec store.Record) error {
			_, err := keys.Open(name, rec.Generation, rec.Sealed)
			return err
		},
	})
	if err != nil {
		return opened{}, fmt.Errorf("open the store bolt:%s: %w", path, err)
	}
	return opened{Store: store, close: store.Close, recovery: store.Recovery}, nil
}

// openRedis opens the store at url, which it does not show.
func openRedis(ctx context.Context, url secret.Text, log *slog.Logger) (opened, error) {
	store, err := redisstore.Open(ctx, redisstore.Options{URL: url, Log: log})
	if err != nil {
		return opened{}, fmt.Errorf("open the store: %w", err)
	}
	return opened{Store: store, close: store.Close, recovery: unharmed}, nil
}
