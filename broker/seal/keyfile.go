package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// keyFileLimit is more than any well-formed key file has, so that a wrong path
// (a log, a device) is not read to its end.
const keyFileLimit = 4096

// errNoKey says that a file was read and holds no key.
var errNoKey = errors.New("does not hold a key")

// ReadKeyFile returns the key in the file at path: 64 hexadecimal digits or base64
// of 32 bytes, white space around it allowed. Its error names the file and the
// expected form, never what was in it, and ends in a line with what to do
// ([KeyFileHint]); it wraps fs.ErrNotExist where that is the cause. Who else may
// read the file does not count here: see [KeyFileWarning].
func ReadKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unusable(err)
	}
	defer func() { _ = f.Close() }() // opened for reading: nothing can be lost
	text, err := io.ReadAll(io.LimitReader(f, keyFileLimit))
	if err != nil {
		return nil, unusable(err)
	}
	key := parseKey(bytes.TrimSpace(text))
	if key == nil {
		return nil, unusable(fmt.Errorf("%s %w", path, errNoKey))
	}
	return key, nil
}

func unusable(err error) error {
	return fmt.Errorf("read seal key: %w\nhint: %s", err, KeyFileHint(err))
}

// KeyFileHint says what to do about an error of [ReadKeyFile]. A new key is advised
// only beside the right one, as it opens nothing of a store that was sealed before.
func KeyFileHint(err error) string {
	const anew = "for a new store make one with: openssl rand -hex 32"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the user that wxsidecar runs as read the file; do not replace it, as the store is sealed with the key in it"
	case errors.Is(err, fs.ErrNotExist):
		return "compare the path, and put the key that the store is sealed with there; " + anew
	case errors.Is(err, errNoKey):
		return "the file holds 64 hexadecimal digits, or 32 bytes in base64: put the key that the store is sealed with there; " + anew
	default:
		return "compare the path: it must be a file that can be read"
	}
}

// parseKey returns nil for what is no key. The decoders' errors are dropped
// because they quote what they could not read.
func parseKey(text []byte) []byte {
	if key, err := hex.DecodeString(string(text)); err == nil && len(key) == KeySize {
		return key
	}
	bare := strings.TrimRight(string(text), "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := enc.DecodeString(bare); err == nil && len(key) == KeySize {
			return key
		}
	}
	return nil
}

// KeyFileWarning returns a sentence for the log if others than who runs this process
// may read the key file, and "" if not. Mounted secrets are often readable for
// all inside their container, so that this is no reason to refuse them. Another
// user's file that its group may read has no warning: Kubernetes mounts it so for a
// pod with an fsGroup, and with mode 0600 this process could not read it.
func KeyFileWarning(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	others, cure := fs.FileMode(0o077), "chmod 600"
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		others, cure = 0o037, "give it a group of this process's, and chmod 640"
	}
	if info.Mode().Perm()&others == 0 {
		return ""
	}
	return fmt.Sprintf("the seal key file %s has mode %04o: others than its owner may use it; %s %s",
		path, info.Mode().Perm(), cure, path)
}

// CreateKeyFile makes a new random key, writes it to path as 64 hexadecimal digits
// with mode 0600, and returns it once it is durable. The directory is made (0700)
// if need be. An existing file is never touched: the error then wraps
// fs.ErrExist. A crash leaves either no file at path or a whole one.
func CreateKeyFile(path string) ([]byte, error) {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // documented never to fail
	if err := placeNew(path, []byte(hex.EncodeToString(key)+"\n")); err != nil {
		return nil, fmt.Errorf("create seal key file: %w\nhint: seal.key_file (by default beside the store) must be in a directory that can be written", err)
	}
	return key, nil
}

// ReadOrCreateKeyFile returns the key in the file at path, and makes the file if
// there is none; created says so. Of two processes that call it at once both get
// the same key. Whoever creates a key for a store that has records already will
// not be able to open them.
func ReadOrCreateKeyFile(path string) (key []byte, created bool, err error) {
	key, err = ReadKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key, err = CreateKeyFile(path)
	if errors.Is(err, fs.ErrExist) {
		key, err = ReadKeyFile(path)
		return key, false, err
	}
	return key, err == nil, err
}

// placeNew makes a durable file at path with the content, unless there is one.
func placeNew(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := writeTemp(dir, filepath.Base(path)+".new-*", content)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }() // a second name of the file by now, or a failed attempt
	// A link, unlike a rename, refuses to replace a key that another process made
	// meanwhile.
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) {
		return err
	} else if err != nil {
		if err := writeExclusive(path, content); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// writeTemp returns the name of a new file with mode 0600 and the content on disk.
func writeTemp(dir, pattern string, content []byte) (string, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	if err := writeAndClose(f, content); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// writeExclusive is the way for file systems without hard links.
func writeExclusive(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := writeAndClose(f, content); err != nil {
		_ = os.Remove(path)
		return err
	}
	return nil
}

func writeAndClose(f *os.File, content []byte) error {
	_, err := f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
