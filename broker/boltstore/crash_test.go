package boltstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// childEnv makes the test binary do a child's work instead of testing.
const childEnv = "BOLTSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "write":
		childWrite(os.Args[1])
	case "hold":
		childHold(os.Args[1])
	case "step":
		childStep(os.Args[1], os.Args[2])
	case "full":
		childFull(os.Args[1])
	}
}

// rerun starts this binary anew for one of the works above.
func rerun(t *testing.T, work string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+work)
	cmd.Stderr = os.Stderr
	return cmd
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// childWrite raises the records k0 to k4 for ever, and says each acknowledged
// generation.
func childWrite(path string) {
	ctx := context.Background()
	s, err := Open(Options{Path: path})
	fatal(err)
	for i := 0; ; i++ {
		name := fmt.Sprintf("k%d", i%5)
		old, err := s.Get(ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			fatal(err)
		}
		text := strings.Repeat(fmt.Sprint(old.Generation+1, " "), 1+i%400)
		fatal(s.Put(ctx, store.Write{Name: name, Base: old.Version(), Record: store.Record{Generation: old.Generation + 1, Sealed: []byte(text)}}))
		fmt.Println(name, old.Generation+1)
	}
}

// TestStore_KillLosesNothing: what was acknowledged before kill -9 is there after it.
func TestStore_KillLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	acked := map[string]uint64{}
	for round := range 25 {
		killAfter(t, path, 1+round*7, acked)
		sound(t, path)
		s := mustOpen(t, Options{Path: path})
		if rec := s.Recovery(); rec != nil {
			t.Errorf("round %d: repaired: %+v", round, rec)
		}
		for name, generation := range acked {
			got, err := s.Get(t.Context(), name)
			if err != nil || got.Generation < generation || got.Generation > generation+1 {
				t.Fatalf("round %d: %s has generation %d, %d was acknowledged; %v", round, name, got.Generation, generation, err)
			}
			if !strings.HasPrefix(string(got.Sealed), fmt.Sprint(got.Generation, " ")) {
				t.Fatalf("round %d: %s has the content of another generation", round, name)
			}
			acked[name] = got.Generation
		}
		mustClose(t, s)
	}
}

// killAfter runs a writing child and kills it after n acknowledged writes.
func killAfter(t *testing.T, path string, n int, acked map[string]uint64) {
	t.Helper()
	cmd := rerun(t, "write", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); {
		name, text, whole := strings.Cut(lines.Text(), " ")
		generation, err := strconv.ParseUint(text, 10, 64)
		if whole && err == nil {
			acked[name] = max(acked[name], generation)
		}
		if seen++; seen == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

func childHold(path string) {
	_, err := Open(Options{Path: path})
	fatal(err)
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is done
}

func TestOpen_SecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	cmd := rerun(t, "hold", path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("the first opener: %q, %v", line, err)
	}
	_, err = Open(Options{Path: path, LockTimeout: 50 * time.Millisecond})
	if !errors.Is(err, ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	}
	for _, part := range []string{path, "another wxsidecar uses it", "waited 50ms", "one wxsidecar runs for a component", "hint:"} {
		if err != nil && !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
	mustOpen(t, Options{Path: path})
}

// TestOpen_Waits: an opener waits for one who is about to leave.
func TestOpen_Waits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	first := mustOpen(t, Options{Path: path})
	opened := make(chan error, 1)
	go func() {
		s, err := Open(Options{Path: path, LockTimeout: time.Minute})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	mustClose(t, first)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// childStep opens a store and kills itself at the step of that name.
func childStep(path, step string) {
	o, err := newOpener(options(&testing.T{}, path))
	fatal(err)
	o.compactAbove = 1 << 16
	o.step = func(name string) {
		if name == step {
			fatal(syscall.Kill(os.Getpid(), syscall.SIGKILL))
			select {}
		}
	}
	_, err = open(o)
	fatal(err)
	fmt.Println("opened")
}

// TestOpen_KilledAtEachStep: whichever step of a first creation, a repair or a
// compaction the process dies at, the next start finds all that was there.
func TestOpen_KilledAtEachStep(t *testing.T) {
	base := makeSample(t, 40)
	damaged := base.withoutFreelist()
	wasted := append(append([]byte(nil), base.image...), make([]byte, 8*len(base.image))...)
	die := func(what, step string, image []byte) {
		t.Run(what+" at "+step, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.db")
			if image != nil {
				if err := os.WriteFile(path, image, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := rerun(t, "step", path, step).Output()
			if err == nil || len(out) > 0 {
				t.Fatalf("the child passed the step: %q, %v", out, err)
			}
			s := mustOpen(t, options(t, path))
			got := contents(t, s)
			for name, want := range base.records {
				if image != nil && string(got[name].Sealed) != string(want.Sealed) {
					t.Errorf("%s is lost", name)
				}
			}
			mustPut(t, s, sealedWrite(testRing(t, 1), "after", store.Record{}, 1))
			mustClose(t, s)
			sound(t, path)
			mustOpen(t, options(t, path))
			if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("rubbish is left: %v", err)
			}
		})
	}
	build := []string{"locked", "initialised", "filled", "synced", "renamed", "placed"}
	for _, step := range build {
		die("creation", step, nil)
		die("repair", step, damaged)
		die("compaction", step, wasted)
	}
	die("repair", "aside", damaged)
}

// childFull fills the store until the limit of file size refuses, and goes on when
// the limit is lifted.
func childFull(path string) {
	ctx := context.Background()
	s, err := Open(Options{Path: path})
	fatal(err)
	limit := unix.Rlimit{Cur: 1 << 20, Max: unix.RLIM_INFINITY}
	fatal(unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	n, refused := 0, 0
	for ; refused < 20; n++ {
		err := s.Put(ctx, store.Write{Name: nameOf(n), Record: store.Record{Generation: 1, Sealed: make([]byte, 20000)}})
		if err != nil {
			if refused++; !errors.Is(err, syscall.EFBIG) && !strings.Contains(err.Error(), syscall.EFBIG.Error()) {
				fatal(fmt.Errorf("another error than the limit's: %w", err))
			}
			n-- // the same record again
		}
		if n > 1000 {
			fatal(errors.New("the limit does not hold"))
		}
	}
	for i := range n {
		_, err := s.Get(ctx, nameOf(i))
		fatal(err)
	}
	limit.Cur = unix.RLIM_INFINITY
	fatal(unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	fatal(s.Put(ctx, store.Write{Name: nameOf(n), Record: store.Record{Generation: 1, Sealed: make([]byte, 20000)}}))
	fatal(s.Close())
	fmt.Println(n + 1)
}

// TestStore_DiskFull: a disk that refuses costs the writes that it refused, and
// nothing else; writing works again as soon as there is space.
func TestStore_DiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	out, err := rerun(t, "full", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || n < 10 {
		t.Fatalf("%d records, %v", n, err)
	}
	sound(t, path)
	if got := len(contents(t, mustOpen(t, Options{Path: path}))); got != n {
		t.Errorf("%d records of %d", got, n)
	}
}

// TestStore_TruncatedWhileOpen: a page that vanishes under the mapping costs an
// error, not the process, and the store repairs itself.
func TestStore_TruncatedWhileOpen(t *testing.T) {
	base := makeSample(t, 400)
	for _, size := range []int64{0, pageSize, 2 * pageSize, 10 * pageSize, 40 * pageSize} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			opts := options(t, filepath.Join(t.TempDir(), "s.db"))
			opts.Now = func() time.Time { return time.Unix(0, int64(rand.Uint64()>>1)) } // no pause between attempts
			if err := os.WriteFile(opts.Path, base.image, 0o600); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, opts)
			if err := os.Truncate(opts.Path, size); err != nil {
				t.Fatal(err)
			}
			failed := 0
			for name := range base.records {
				if _, err := s.Get(t.Context(), name); err != nil && !errors.Is(err, store.ErrNotFound) {
					failed++
				}
			}
			if failed == 0 || s.Recovery() == nil {
				t.Errorf("%d reads failed, repair: %+v", failed, s.Recovery())
			}
			mustPut(t, s, sealedWrite(testRing(t, 1), "after", store.Record{}, 1))
			sound(t, opts.Path)
		})
	}
}
