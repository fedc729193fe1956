package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// KeyFileName is the file in data_dir that holds the seal key where none is
// configured.
const KeyFileName = "wxsidecar.key"

const boltPrefix = "bolt:"

// resolvePaths makes relative paths of the file relative to the file. Those of the
// environment, of flags and of the defaults stay relative to the working directory.
func (l *Loaded) resolvePaths() {
	c := &l.Config
	for key, path := range map[string]*string{
		"seal.key_file": &c.Seal.KeyFile, "seal.previous_key_file": &c.Seal.PreviousKeyFile,
		"upstream.ca_file": &c.Upstream.CAFile, "data_dir": &c.DataDir,
	} {
		*path = l.resolve(key, *path)
	}
	key := "store"
	if l.given("store_file") {
		key = "store_file"
	}
	store, ok := strings.CutPrefix(c.Store.Reveal(), boltPrefix)
	if !ok || store == "" {
		return
	}
	if path := l.resolve(key, store); path != store {
		l.storeLeftBehind(store, path)
		c.Store = secret.New(boltPrefix + path)
	}
}

// resolve returns the path that stands at key as the process must open it. What has
// the form of a key is none, and stays as it is, so that no report shows it.
func (l *Loaded) resolve(key, path string) string {
	if l.at[key].rank != fromFile || path == "" || filepath.IsAbs(path) || keyPattern.MatchString(path) {
		return path
	}
	resolved := filepath.Join(filepath.Dir(l.at[key].name), path)
	if strings.HasSuffix(path, "/") {
		resolved += "/" // it says that a folder is meant
	}
	return resolved
}

// storeLeftBehind refuses a start that would begin with an empty store beside the
// file while there is one in the working directory, where relative paths once led.
func (l *Loaded) storeLeftBehind(path, resolved string) {
	if _, err := os.Stat(resolved); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if _, err := os.Stat(path); err == nil {
		l.fault("store", "", "there is no "+Absolute(resolved)+", but there is "+Absolute(path)+
			": a relative path in the file is relative to the file, not to the working directory",
			"move the store and its key file beside the file, or write the absolute path")
	}
}

// validateWritable reports what serve could not write as the user of this process:
// the store's file or its folder, and the folder of a key file that is still to be
// made.
func (l *Loaded) validateWritable() {
	c := &l.Config
	if l.given("data_dir") {
		l.unexpandedPath("data_dir", c.DataDir)
	}
	if inQuotes(c.DataDir) {
		l.fault("data_dir", c.DataDir, "a path in quotes that are part of the value", quotesHint)
		return
	}
	store, ok := strings.CutPrefix(c.Store.Reveal(), boltPrefix)
	if !ok || store == "" || l.faulty("store") || l.storeUnknown() {
		return
	}
	if _, err := os.Stat(store); err == nil {
		if err := unix.Access(store, unix.R_OK|unix.W_OK); err != nil {
			l.fault("store", "", "the file "+Absolute(store)+" cannot be read and written: "+err.Error(), unwritableHint)
		}
	} else {
		l.writableFolder("store", filepath.Dir(store))
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, KeyFileName)); err != nil && c.Seal.KeyFile == "" && l.given("data_dir") {
		l.writableFolder("data_dir", c.DataDir)
	}
}

// unexpandedPath warns of a path with something in it that shells expand.
func (l *Loaded) unexpandedPath(key, path string) {
	if strings.HasPrefix(path, "~/") || strings.Contains(path, "/~/") || unexpandedPathForm.MatchString(path) {
		l.warn(key, "nothing expands ~ or $NAME in this path; write it out")
	}
}

var unexpandedPathForm = regexp.MustCompile(`\$[A-Za-z_({]`)

const unwritableHint = "let the user that wxsidecar runs as write it, or name another"

// writableFolder reports that the folder dir, which key leads to, cannot be written,
// or cannot be made where it does not exist.
func (l *Loaded) writableFolder(key, dir string) {
	dir = Absolute(dir)
	existing := nearestExisting(dir)
	err := unix.Access(existing, unix.W_OK|unix.X_OK)
	if info, e := os.Stat(existing); e == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	switch {
	case err == nil:
	case existing == dir:
		l.fault(key, "", "the folder "+dir+" cannot be written: "+err.Error(), unwritableHint)
	default:
		l.fault(key, "", "the folder "+dir+" cannot be made in "+existing+": "+err.Error(), unwritableHint)
	}
}

// nearestExisting returns path, or the nearest of its parents that exists. path is
// absolute.
func nearestExisting(path string) string {
	for path != "/" {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// Absolute returns path for people, who do not know where the process stands.
func Absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
