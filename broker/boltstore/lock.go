//go:build unix

package boltstore

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is between two attempts to get the lock.
const lockPoll = 20 * time.Millisecond

// lock opens path, locks it for this process alone and returns it. It waits up to
// LockTimeout. The lock ends with the file, or with the process.
func (o *opener) lock(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := o.flock(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	// Who held the lock may have put another file in this one's place.
	if same, err := isAt(f, path); err != nil || !same {
		_ = f.Close()
		return nil, errors.Join(errReplaced, err)
	}
	return f, nil
}

func (o *opener) flock(f *os.File) error {
	for waited := time.Duration(0); ; waited += lockPoll {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		if waited >= o.LockTimeout {
			return fmt.Errorf("%w (waited %v)", ErrLocked, o.LockTimeout)
		}
		time.Sleep(lockPoll)
	}
}

// unlock gives the lock back although something may still keep the file open.
func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }

func isAt(f *os.File, path string) (bool, error) {
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(mine, there), nil
}
