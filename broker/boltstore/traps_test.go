package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// traps are damages over which bbolt itself ends the process, takes all memory or
// fails at every later write. Each changes an image, in which branch is a branch
// page, leaf one with records and free a page that is free.
var traps = []struct {
	name string
	set  func(image []byte, base *sample, branch, leaf, free int)
	// lost is how many records at most are not kept.
	lost int
}{
	{"a child that is its own parent", func(image []byte, _ *sample, branch, _, _ int) {
		binary.NativeEndian.PutUint64(image[branch*pageSize+16+8:], uint64(branch))
	}, 10},
	{"a last child that is its own parent", func(image []byte, _ *sample, branch, _, _ int) {
		count := int(binary.NativeEndian.Uint16(image[branch*pageSize+10:]))
		binary.NativeEndian.PutUint64(image[branch*pageSize+16*count+8:], uint64(branch))
	}, 10},
	{"a leaf that continues for ever", func(image []byte, _ *sample, _, leaf, _ int) {
		binary.NativeEndian.PutUint32(image[leaf*pageSize+12:], 1<<31)
	}, 0},
	{"a leaf that continues on a free page", func(image []byte, _ *sample, _, leaf, free int) {
		binary.NativeEndian.PutUint32(image[(free-1)*pageSize+12:], 1)
	}, 0},
	{"a list of free pages that continues for ever", func(image []byte, base *sample, _, _, _ int) {
		binary.NativeEndian.PutUint32(image[base.freelist*pageSize+12:], 1<<31)
	}, 0},
	{"a list of free pages that continues beyond the file", func(image []byte, base *sample, _, _, _ int) {
		binary.NativeEndian.PutUint32(image[base.freelist*pageSize+12:], 1<<14)
	}, 0},
	{"a list of free pages with 2^40 of them", func(image []byte, base *sample, _, _, _ int) {
		at := base.freelist * pageSize
		binary.NativeEndian.PutUint16(image[at+10:], 0xffff)
		binary.NativeEndian.PutUint64(image[at+16:], 1<<40)
	}, 0},
	{"a page in use that is listed as free", func(image []byte, base *sample, _, leaf, _ int) {
		binary.NativeEndian.PutUint64(image[base.freelist*pageSize+16:], uint64(leaf))
	}, 0},
	{"a name that takes two bytes of its record", func(image []byte, _ *sample, _, leaf, _ int) {
		image[leaf*pageSize+16+8] ^= 2
	}, 1},
	{"a name that leaves two bytes to its record", func(image []byte, _ *sample, _, leaf, _ int) {
		image[leaf*pageSize+16+8] ^= 4
	}, 1},
	{"a record that lies elsewhere", func(image []byte, _ *sample, _, leaf, _ int) {
		image[leaf*pageSize+16+4] ^= 1
	}, 1},
}

// TestOpen_Traps: none of these ends the process, and what a cursor reaches is kept.
func TestOpen_Traps(t *testing.T) {
	base := makeSample(t, 400)
	path := filepath.Join(t.TempDir(), "base.db")
	if err := os.WriteFile(path, base.image, 0o600); err != nil {
		t.Fatal(err)
	}
	branch, leaf, free := 0, base.span[base.names[7]][0]/pageSize, 0
	inspect(t, path, func(tx *bbolt.Tx) {
		last := ""
		for id := 0; id < len(base.image)/pageSize; id++ {
			page, err := tx.Page(id)
			switch {
			case err != nil || page == nil:
				return
			case page.Type == "branch":
				branch = id
			case page.Type == typeFree && last == "leaf":
				free = id
			}
			last = page.Type
			if last != typeFree && page.OverflowCount > 0 {
				last, id = "several", id+page.OverflowCount
			}
		}
	})
	if branch == 0 || free == 0 {
		t.Fatalf("the sample has branch page %d, free page %d behind a leaf", branch, free)
	}
	for _, trap := range traps {
		t.Run(trap.name, func(t *testing.T) {
			image := append([]byte(nil), base.image...)
			trap.set(image, &base, branch, leaf, free)
			opts := options(t, filepath.Join(t.TempDir(), "s.db"))
			if err := os.WriteFile(opts.Path, image, 0o600); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, opts)
			rec := s.Recovery()
			if rec == nil || rec.Kept < len(base.records)-trap.lost {
				t.Fatalf("Recovery() = %+v, want one, of %d records but %d", rec, len(base.records), trap.lost)
			}
			mustPut(t, s, sealedWrite(testRing(t, 1), "after/the/repair", store.Record{}, 10))
			sound(t, opts.Path)
		})
	}
	var all unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &all); err != nil || all.Maxrss > 512<<10 { // in KiB
		t.Errorf("a child took %d KiB, %v", all.Maxrss, err)
	}
}

// TestChild_EndsWithParent: a child whose parent was killed gives the lock back. This
// one waits for somebody to read what it prints.
func TestChild_EndsWithParent(t *testing.T) {
	base := makeSample(t, 400)
	path := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, base.image, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(ownProgram())
	cmd.Args, cmd.ExtraFiles = []string{childName, workForward}, []*os.File{f}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is at work
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitRefused {
		t.Errorf("it ended with %v, want exit code %d", err, exitRefused)
	}
}

// openWithChild opens a store at path whose children are that shell script.
func openWithChild(t *testing.T, path, script string) (*Store, error) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return openWith(t, options(t, path), func(o *opener) { o.program = program })
}

// TestOpen_ChildFails: a child that ends for a reason of its own says nothing of the file,
// which is not taken for damaged. The error says what was the matter.
func TestOpen_ChildFails(t *testing.T) {
	base := makeSample(t, 50)
	f := func(script, wantErr string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "s.db")
		if err := os.WriteFile(path, base.image, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openWithChild(t, path, script); err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: %v, want an error with %q", script, err, wantErr)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(base.image) {
			t.Errorf("%s: the file was touched: %v", script, err)
		}
	}
	f("exit 2", "even when it reads nothing") // as under a limit on threads
	f("kill -9 $$", "signal: killed (a limit on memory?)")
	f("echo cannot allocate memory >&2; exit 3", "the system refused it: cannot allocate memory")
}

// TestChild_Environment: a child gets nothing of the environment, which may hold secrets.
func TestChild_Environment(t *testing.T) {
	t.Setenv("BOLTSTORE_TEST_SECRET", "s3cr3t")
	path := filepath.Join(t.TempDir(), "s.db")
	mustClose(t, mustOpen(t, options(t, path)))
	seen := filepath.Join(t.TempDir(), "env")
	if _, err := openWithChild(t, path, "env >'"+seen+"'; exit 3"); err == nil {
		t.Fatal("the script was not run")
	}
	env, err := os.ReadFile(seen)
	if err != nil || !strings.Contains(string(env), "GOTRACEBACK=none") {
		t.Errorf("the script saw no environment of a child's: %v", err)
	}
	if strings.Contains(string(env), "s3cr3t") {
		t.Error("a child sees the environment")
	}
}

// TestOpen_NoChild: where no process can be started, a sound file is used all the
// same, with a warning, and a damaged one is not moved.
func TestOpen_NoChild(t *testing.T) {
	base := makeSample(t, 50)
	load := func(image []byte) (*Store, string, error) {
		var log bytes.Buffer
		opts := options(t, filepath.Join(t.TempDir(), "s.db"))
		opts.Log = slog.New(slog.NewTextHandler(&log, nil))
		if err := os.WriteFile(opts.Path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openWith(t, opts, func(o *opener) { o.program = filepath.Join(t.TempDir(), "nothing") })
		if after, readErr := os.ReadFile(opts.Path); readErr != nil || string(after) != string(image) {
			t.Errorf("the file was touched: %v", readErr)
		}
		return s, log.String(), err
	}
	s, log, err := load(base.image)
	if err != nil {
		t.Fatal(err)
	}
	same(t, base.records, contents(t, s))
	mustClose(t, s)
	if !strings.Contains(log, "the store file cannot be checked before it is used") {
		t.Errorf("log: %s", log)
	}
	if _, _, err := load(base.withoutFreelist()); !errors.Is(err, errNoChild) {
		t.Errorf("a damaged file: %v, want errNoChild", err)
	}
}
