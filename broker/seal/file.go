package seal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// File keeps one blob, sealed, in a file of its own. Who writes it must be the only
// one to do so at that time.
type File struct {
	// Path is the file. Its base name is authenticated with the content, so that one
	// file cannot stand in for another.
	Path string
	// Keys seal and open it.
	Keys *Keyring
}

// fileGeneration is the generation of what a [File] holds: nobody compares it.
const fileGeneration = 1

// Load returns the blob, which the caller owns. Its error wraps fs.ErrNotExist if
// there is no file, and what [Keyring.Open] says if it does not open.
func (f File) Load() ([]byte, error) {
	sealed, err := os.ReadFile(f.Path)
	if err != nil {
		return nil, err
	}
	return f.open(sealed)
}

func (f File) open(sealed []byte) ([]byte, error) {
	return f.Keys.Open(filepath.Base(f.Path), fileGeneration, sealed)
}

// Save replaces the blob by plain, which it does not keep, under the current key.
// When it returns nil the blob is durable; a crash leaves the old blob or the new
// one. The file has mode 0600, and its directory is made (0700) if need be.
func (f File) Save(plain []byte) error {
	dir, base := filepath.Dir(f.Path), filepath.Base(f.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := writeTemp(dir, base+".new-*", f.Keys.Seal(base, fileGeneration, plain))
	if err != nil {
		return err
	}
	if err := os.Rename(temp, f.Path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(dir)
}

// Reseal seals the blob under the current key if it is under the previous one, and
// reports whether it was. Its errors are those of [File.Load] and [File.Save].
func (f File) Reseal() (resealed bool, err error) {
	sealed, err := os.ReadFile(f.Path)
	if err != nil {
		return false, err
	}
	plain, err := f.open(sealed)
	if err != nil || !f.Keys.NeedsReseal(sealed) {
		return false, err
	}
	return true, f.Save(plain)
}

// MoveAside renames the file to <Path>.damaged-<date> and returns that name. A
// file that was moved aside within the same second is replaced.
func (f File) MoveAside(now time.Time) (string, error) {
	aside := fmt.Sprintf("%s.damaged-%s", f.Path, now.UTC().Format("20060102T150405Z"))
	return aside, os.Rename(f.Path, aside)
}
