package boltstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// childTimeout is how long a child may read. It is for a disk that hangs: damage
// ends a child by its memory, long before.
const childTimeout = 5 * time.Minute

// errNoChild is what child returns if there can be no child process.
var errNoChild = errors.New("cannot start a process to read the store file")

// child has a child process do work on the locked file f; read gets what it prints,
// and stops it by an error, which is then child's. What the child finds wrong with
// the file, or dies of, is a *fault.
func (o *opener) child(f *os.File, work string, read func(io.Reader) error) error {
	err := o.run(f, work, read)
	var broken *fault
	if !errors.As(err, &broken) {
		return err
	}
	said, died := broken.what.(crash)
	if died && o.run(f, workNothing, func(io.Reader) error { return nil }) != nil {
		return fmt.Errorf("the process that reads it crashes even when it reads nothing (a limit on threads or memory?): %s", said)
	}
	return err
}

// crash is what Go said when it ended a child.
type crash string

// run is child but for the doubt whether it is the file that a child dies of.
func (o *opener) run(f *os.File, work string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), childTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.program)
	var said strings.Builder
	cmd.Args, cmd.ExtraFiles, cmd.Stderr = []string{childName, work}, []*os.File{f}, &said
	// Without our environment, which may hold secrets. The second is for tests: a
	// binary with the race detector sleeps for a second at its end.
	cmd.Env = []string{"GOTRACEBACK=none", "GORACE=atexit_sleep_ms=0"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if _, err := cmd.StdinPipe(); err != nil { // tells the child that we live
		return err
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(errNoChild, err)
	}
	readErr := read(bufio.NewReader(out))
	if readErr != nil {
		cancel()
	}
	err = verdict(ctx, cmd.Wait(), said.String())
	// bbolt has made the lock, which belongs to the open file, a shared one.
	if lockErr := o.flock(f); lockErr != nil {
		return lockErr
	}
	if readErr != nil {
		return readErr
	}
	return err
}

// ownProgram returns the path of this program, also if another version lies in its
// place by now, and "" if that cannot be known.
func ownProgram() string {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	path, err := os.Executable()
	if err != nil {
		return "" // which cannot be started either
	}
	return path
}

// verdict tells what a child found in the file, a *fault, from what kept it from
// finding out.
func verdict(ctx context.Context, err error, said string) error {
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		return err
	}
	said, _, _ = strings.Cut(strings.TrimSpace(said), "\n")
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("reading it was stopped after %v (does the disk hang?): %w", childTimeout, ctx.Err())
	case !exit.Exited():
		return fmt.Errorf("the process that reads it was ended: %w (a limit on memory?)", err)
	case exit.ExitCode() == exitRefused:
		return fmt.Errorf("the process that reads it ended, since the system refused it: %s", said)
	case exit.ExitCode() == exitCrashed:
		return &fault{crash(said)}
	default:
		return &fault{said}
	}
}

// check has bbolt check the pages of the locked file f, and returns how many bytes
// those of the records take.
func (o *opener) check(f *os.File) (inUse int64, err error) {
	err = o.child(f, workCheck, func(r io.Reader) error {
		// Nothing comes where the check fails.
		_, _ = fmt.Fscan(r, &inUse)
		return nil
	})
	return inUse, err
}

// carryOver puts into db the records of the locked file f that a cursor reaches from
// the first on and, if it does not get through, from the last on. It counts in t
// what Options.Check says of them, and leaves out what is damaged.
func (o *opener) carryOver(f *os.File, db *bbolt.DB, t *tally) error {
	w, err := newBatches(db)
	if err != nil {
		return err
	}
	defer w.rollback()
	keep := func(name, value []byte) error {
		if w.has(name) || t.add(o.Check, name, value) != nil {
			return nil
		}
		return w.put(name, value)
	}
	receive := func(r io.Reader) error { return receiveRecords(r, keep) }
	err = o.child(f, workForward, receive)
	var broken *fault
	if errors.As(err, &broken) {
		err = o.child(f, workBackward, receive)
	}
	if err != nil && !errors.As(err, &broken) {
		return err
	}
	return w.commit()
}

// receiveRecords calls put with each record that sendRecords wrote. The bytes are
// put's. A record that is cut off is the end: the child has died over it.
func receiveRecords(r io.Reader, put func(name, value []byte) error) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil
		}
		n := binary.BigEndian.Uint32(head[:])
		frame := make([]byte, n+binary.BigEndian.Uint32(head[4:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return nil
		}
		if err := put(frame[:n:n], frame[n:]); err != nil {
			return err
		}
	}
}
