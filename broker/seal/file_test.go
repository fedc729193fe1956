package seal_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/seal"
)

func TestFile(t *testing.T) {
	f := seal.File{Path: filepath.Join(t.TempDir(), "dir", "blob"), Keys: ring(t, testKey(1), nil)}
	if _, err := f.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, want := range []string{"a private key", "", "another one"} {
		if err := f.Save([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Load(); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if text, err := os.ReadFile(f.Path); err != nil || strings.Contains(string(text), "another") {
		t.Errorf("it is not sealed: %v", err)
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(f.Path)); err != nil || len(left) != 1 {
		t.Errorf("%d files, want the one; %v", len(left), err)
	}
}

// What does not open says why, and stays as it is until it is moved aside.
func TestFile_DoesNotOpen(t *testing.T) {
	dir := t.TempDir()
	f := seal.File{Path: filepath.Join(dir, "blob"), Keys: ring(t, testKey(1), nil)}
	if err := f.Save([]byte("content")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(content []byte, keys *seal.Keyring, want error) {
		t.Helper()
		if err := os.WriteFile(f.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (seal.File{Path: f.Path, Keys: keys}).Load(); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	try(whole, ring(t, testKey(2), nil), seal.ErrWrongKey)
	try(whole[:len(whole)-1], f.Keys, seal.ErrDamaged)
	try(nil, f.Keys, seal.ErrDamaged)

	other := seal.File{Path: filepath.Join(dir, "other"), Keys: f.Keys}
	if err := os.WriteFile(other.Path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Load(); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("a file that stands in for another: %v, want ErrDamaged", err)
	}

	aside, err := other.MoveAside(time.Date(2026, 11, 24, 5, 43, 0, 0, time.UTC))
	if want := other.Path + ".damaged-20261124T054300Z"; err != nil || aside != want {
		t.Errorf("moved to %s, %v, want %s", aside, err, want)
	}
	if got, err := os.ReadFile(aside); err != nil || string(got) != string(whole) {
		t.Errorf("it changed: %v", err)
	}
}

func TestFile_Reseal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blob")
	if err := (seal.File{Path: path, Keys: ring(t, testKey(1), nil)}).Save([]byte("content")); err != nil {
		t.Fatal(err)
	}
	both := seal.File{Path: path, Keys: ring(t, testKey(2), testKey(1))}
	if got, err := both.Load(); err != nil || string(got) != "content" {
		t.Errorf("under the previous key: %q, %v", got, err)
	}
	for _, want := range []bool{true, false} {
		if got, err := both.Reseal(); err != nil || got != want {
			t.Errorf("resealed %v, %v, want %v", got, err, want)
		}
	}
	if got, err := (seal.File{Path: path, Keys: ring(t, testKey(2), nil)}).Load(); err != nil || string(got) != "content" {
		t.Errorf("under the current key alone: %q, %v", got, err)
	}
	if _, err := (seal.File{Path: path, Keys: ring(t, testKey(3), nil)}).Reseal(); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("under a third key: %v, want ErrWrongKey", err)
	}
}
