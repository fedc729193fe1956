package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker/seal"
)

// MemoryStore is the store that forgets everything at the end of the process.
const MemoryStore = "memory:"

func (l *Loaded) validateStore() {
	c := &l.Config
	l.keyFile("seal.key_file", c.Seal.KeyFile)
	l.keyFile("seal.previous_key_file", c.Seal.PreviousKeyFile)
	if l.storeUnknown() {
		return
	}
	store := c.Store.Reveal()
	if store == MemoryStore {
		l.warn("store", "with memory: every token and authorization is lost at the end of the process")
		return
	}
	if path, ok := strings.CutPrefix(store, boltPrefix); ok {
		l.unexpandedPath("store", path)
		switch {
		case inQuotes(path):
			l.fault("store", "", "a path in quotes that are part of the value", quotesHint)
		case path == "":
			l.fault("store", "", "bolt: without a path", "write it like bolt:/data/wxsidecar.db")
		case isFolder(path):
			l.fault("store", "", "a folder", "name a file in it, like bolt:/data/wxsidecar.db")
		case l.reads(path):
			l.fault("store", "", "a file of the configuration", "name a file of its own, like bolt:/data/wxsidecar.db")
		}
		return
	}
	if l.faulty("store") || l.faulty("store_file") {
		return
	}
	if IsRedis(store) {
		l.validateRedis(store)
		return
	}
	l.fault("store", "", "not a store", `write bolt:PATH, redis://HOST, or for trials "memory:" in quotes`)
}

// storeUnknown reports whether the store is the default for no better reason than that
// the file cannot be read.
func (l *Loaded) storeUnknown() bool {
	return l.faulty("") && !l.given("store") && !l.given("store_file")
}

// isFolder reports whether path is a folder, or would be one by the way it is written.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return strings.HasSuffix(path, "/") || err == nil && info.IsDir()
}

// reads reports whether path is a file that the configuration is read from. A store
// there would move it aside as damaged.
func (l *Loaded) reads(path string) bool {
	known := append(slices.Collect(maps.Keys(l.Files)), l.Config.Seal.KeyFile, l.Config.Seal.PreviousKeyFile)
	return slices.ContainsFunc(known, func(file string) bool { return file != "" && Absolute(file) == Absolute(path) })
}

// keyFile checks that a key file that was named holds a key. It is read at the start
// only, so a change of it is not watched.
func (l *Loaded) keyFile(key, path string) {
	if path == "" {
		return
	}
	_, err := seal.ReadKeyFile(path)
	var unreadable *fs.PathError
	switch {
	case errors.As(err, &unreadable):
		l.fault(key, shownKeyPath(path), "cannot be read: "+cause(err), seal.KeyFileHint(err))
	case err != nil:
		l.fault(key, path, "does not hold a key", seal.KeyFileHint(err))
	}
}
