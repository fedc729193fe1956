package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/seal"
)

func TestReadKeyFile(t *testing.T) {
	key := []byte("0123456789\xff\xfe\xfd>?>?abcdefghijklmno")[:seal.KeySize]
	read := func(content string, want []byte) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := seal.ReadKeyFile(path)
		if !bytes.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %x, %v", content, got, err)
		}
		if err == nil {
			return
		}
		for _, part := range []string{path, "64 hexadecimal digits", "openssl rand -hex 32"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q lacks %q", err, part)
			}
		}
		if bare := strings.TrimSpace(content); len(bare) > 8 && strings.Contains(err.Error(), bare[:8]) {
			t.Errorf("%q shows what is in the file", err)
		}
	}
	digits := hex.EncodeToString(key)
	read(digits, key)
	read(" \t"+strings.ToUpper(digits)+"\r\n\n", key)
	read(base64.StdEncoding.EncodeToString(key)+"\n", key)
	read(base64.RawStdEncoding.EncodeToString(key), key)
	read(base64.URLEncoding.EncodeToString(key), key)
	read("", nil)
	read(digits[:62], nil)
	read(digits+"00", nil)
	read(digits[:63]+"g", nil)
	read(digits[:32]+" "+digits[32:], nil)
	read(base64.StdEncoding.EncodeToString(key[:31]), nil)
	read(string(key), nil)
	read(strings.Repeat("a", 1<<20), nil)
}

// The key of a store that cannot be read just now must not be replaced by a new one.
func TestKeyFileHint(t *testing.T) {
	dir := t.TempDir()
	f := func(err error, want, never string) {
		t.Helper()
		if hint := seal.KeyFileHint(err); !strings.Contains(hint, want) || never != "" && strings.Contains(hint, never) {
			t.Errorf("%v: %q, want %q in it and %q not", err, hint, want, never)
		}
	}
	f(&fs.PathError{Op: "open", Path: "key", Err: fs.ErrPermission}, "let the user that wxsidecar runs as read the file", "openssl")
	_, err := seal.ReadKeyFile(dir)
	f(err, "it must be a file", "openssl")
	_, err = seal.ReadKeyFile(filepath.Join(dir, "absent"))
	f(err, "put the key that the store is sealed with there; for a new store make one", "")
}

func TestReadKeyFile_Missing(t *testing.T) {
	_, err := seal.ReadKeyFile(filepath.Join(t.TempDir(), "absent"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "absent") {
		t.Errorf("%v, want a missing file named", err)
	}
	if _, err := seal.ReadKeyFile(t.TempDir()); err == nil {
		t.Error("a directory was read as a key")
	}
}

func TestKeyFileWarning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if w := seal.KeyFileWarning(path); w != "" {
		t.Errorf("mode 0600: %q", w)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	if w := seal.KeyFileWarning(path); !strings.Contains(w, path) || !strings.Contains(w, "0444") {
		t.Errorf("mode 0444: %q", w)
	}
}

// A file of another user's that we read by its group, as a pod's fsGroup mounts it: to close it more would be to us as well.
func TestKeyFileWarning_GroupOfOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ours := os.Chown(path, 1, -1) != nil // only root can give it away
	cure := "chmod 640 " + path
	if ours {
		cure = "chmod 600 " + path
	}
	f := func(mode fs.FileMode, want bool) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if w := seal.KeyFileWarning(path); (w != "") != want || want && !strings.HasSuffix(w, cure) {
			t.Errorf("mode %o, ours %t: %q", mode, ours, w)
		}
	}
	f(0o400, false)
	f(0o440, ours)
	f(0o640, ours)
	f(0o444, true)
	f(0o460, true)
	f(0o441, true)
}

func TestCreateKeyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for", "it")
	path := filepath.Join(dir, "key")
	key, err := seal.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.ReadKeyFile(path); err != nil || !bytes.Equal(got, key) || len(key) != seal.KeySize {
		t.Errorf("read back %d bytes, %v", len(got), err)
	}
	modes := map[string]fs.FileMode{path: 0o600, dir: 0o700}
	for name, want := range modes {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if _, err := seal.CreateKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing file: %v, want ErrExist", err)
	}
	if got, err := seal.ReadKeyFile(path); err != nil || !bytes.Equal(got, key) {
		t.Errorf("the existing key was touched: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%d files left in the directory, %v", len(names), err)
	}
}

func TestReadOrCreateKeyFile_ManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	const n = 16
	var (
		keys [n][]byte
		made [n]bool
		errs [n]error
		wg   sync.WaitGroup
	)
	for i := range n {
		wg.Go(func() { keys[i], made[i], errs[i] = seal.ReadOrCreateKeyFile(path) })
	}
	wg.Wait()
	creators := 0
	for i := range n {
		if errs[i] != nil || !bytes.Equal(keys[i], keys[0]) {
			t.Errorf("caller %d has another key, %v", i, errs[i])
		}
		if made[i] {
			creators++
		}
	}
	if creators != 1 {
		t.Errorf("%d callers made the key", creators)
	}
}

func TestReadOrCreateKeyFile_MalformedIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, created, err := seal.ReadOrCreateKeyFile(path); err == nil || created {
		t.Errorf("created %t, %v, want an error", created, err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "not a key" {
		t.Errorf("the file was touched: %q, %v", got, err)
	}
}
