package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// This file runs in a process of its own: the same program, started again with
// childName as its name and the work as its argument. There bbolt reads a file that
// may be damaged, and may end the process by it. The file is inherited as childFile.

const (
	childName = "wxsidecar: store" // no file is called so
	childFile = 3

	workCheck    = "check"
	workForward  = "forward"
	workBackward = "backward"
	workNothing  = "nothing"
)

// Exit codes of a child.
const (
	exitDamaged = 1
	// exitCrashed is Go's own for a panic and a fatal error.
	exitCrashed = 2
	// exitRefused: the system refused something, which says nothing of the file.
	exitRefused = 3
)

const (
	// childStack is more than a tree of any depth needs; a cycle of pages has no end.
	childStack = 1 << 20
	// childMemory is what a child may take, beside an eighth of the file: bbolt keeps
	// some 200 bytes for each page of 4096 while it checks a file.
	childMemory = 32 << 20
	memoryPoll  = 2 * time.Millisecond
)

// typeFree is what bbolt calls a page that is not in use.
const typeFree = "free"

// init does a child's work instead of the program's. No main could be trusted to ask
// for it: a test's binary would run its tests again.
func init() {
	if len(os.Args) == 2 && os.Args[0] == childName {
		os.Exit(child(os.Args[1])) //nolint:forbidigo // the main of this process
	}
}

func child(work string) int {
	err := guard(func() error {
		debug.SetMaxStack(childStack)
		f := os.NewFile(childFile, "store")
		info, err := f.Stat()
		if err != nil {
			return err
		}
		go exitWithParent()
		go exitAbove(childMemory + uint64(info.Size())/8)
		if work == workNothing {
			takeMemory()
			return nil
		}
		return childWork(work, f, info.Size())
	})
	var broken *fault
	switch {
	case err == nil:
		return 0
	case errors.As(err, &broken):
		fmt.Fprintln(os.Stderr, broken.what)
	default:
		fmt.Fprintln(os.Stderr, err)
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return exitRefused
	}
	return exitDamaged
}

// exitWithParent ends the process when its parent has ended, whose lock on the file
// it would prolong: nobody else has the other end of stdin.
func exitWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(exitRefused) //nolint:forbidigo // nobody is left to report to
}

// exitAbove ends the process when its heap is larger than limit, in bytes: a cursor
// that follows a cycle of pages, or a count that bbolt believes, takes all there is.
func exitAbove(limit uint64) {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for range time.Tick(memoryPoll) {
		if metrics.Read(heap); heap[0].Value.Uint64() > limit {
			fmt.Fprintln(os.Stderr, "reading it takes more memory than a sound file of its size needs")
			os.Exit(exitDamaged) //nolint:forbidigo // bbolt would not stop
		}
	}
}

// takeMemory does what costs a process most besides reading: it takes memory, and the
// threads that collect garbage.
func takeMemory() {
	memory := make([]byte, childMemory/2)
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	runtime.GC()
	runtime.KeepAlive(memory)
}

func childWork(work string, f *os.File, size int64) error {
	if size == 0 {
		return errors.New("it is empty") // bbolt would make a database of it
	}
	// From a cold disk the order of the file takes a tenth of the time of the order of
	// names, in which bbolt reads. What cannot be read is met again there.
	_, _ = io.Copy(io.Discard, f)
	// Read-only, bbolt does not load the list of free pages, and writes nothing.
	db, err := bbolt.Open("", 0, &bbolt.Options{
		ReadOnly: true, NoStatistics: true, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
	if err != nil {
		return err
	}
	tx, err := db.Begin(false)
	if err != nil {
		return err
	}
	if work == workCheck && tx.Size() > size {
		return fmt.Errorf("it is cut off: it has %d bytes of %d", size, tx.Size())
	}
	b := tx.Bucket(bucketName())
	if b == nil {
		return fmt.Errorf("it has no bucket %q", bucketName())
	}
	switch work {
	case workCheck:
		return checkPages(tx, b)
	case workForward:
		c := b.Cursor()
		return sendRecords(c.First, c.Next, inOrder)
	default:
		c := b.Cursor()
		return sendRecords(c.Last, c.Prev, func(last, key []byte) bool { return last == nil || inOrder(key, last) })
	}
}

// checkPages returns what bbolt finds wrong with its pages, and prints how many
// bytes those of the records take.
func checkPages(tx *bbolt.Tx, b *bbolt.Bucket) error {
	for err := range tx.Check() {
		return err // the process ends, and with it what Check would go on to do
	}
	if err := checkRuns(tx); err != nil {
		return err
	}
	s := b.Stats()
	_, err := fmt.Fprintln(os.Stdout, s.BranchAlloc+s.LeafAlloc)
	return err
}

// checkRuns returns an error unless the pages that each page in use continues on are
// its own. bbolt's Check does not ask whether they are free, and bbolt cannot free
// such a page: all later writes of it would fail.
func checkRuns(tx *bbolt.Tx) error {
	pages := int(tx.Size()) / tx.DB().Info().PageSize
	for id := 0; id < pages; id++ {
		page, err := tx.Page(id)
		if err != nil {
			return err
		}
		if page.Type == typeFree {
			continue
		}
		if page.OverflowCount >= pages-id {
			return fmt.Errorf("page %d leads out of the file", id)
		}
		for last := id + page.OverflowCount; id < last; {
			id++
			next, err := tx.Page(id)
			if err != nil {
				return err
			}
			if next.Type == typeFree {
				return fmt.Errorf("page %d continues on page %d, which is free", page.ID, id)
			}
		}
	}
	return nil
}

// sendRecords writes the records that a cursor passes to stdout until it ends, faults
// or leaves the order. Each is written at once, since the next one may end the
// process.
func sendRecords(begin, step func() (key, value []byte), ordered func(last, key []byte) bool) error {
	var frame, last []byte
	for key, value := begin(); key != nil; key, value = step() {
		if !validName(key) || !ordered(last, key) {
			return errDamagedValue
		}
		last = append(last[:0], key...)
		if len(value) > generationSize+maxSealed {
			continue // a wrong length, which costs its own record only
		}
		frame = binary.BigEndian.AppendUint32(frame[:0], uint32(len(key)))
		frame = binary.BigEndian.AppendUint32(frame, uint32(len(value)))
		frame = append(append(frame, key...), value...)
		if _, err := os.Stdout.Write(frame); err != nil {
			return err
		}
	}
	return nil
}
