package sdk

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// app is a running program.
type app struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	out   output
}

// output is everything that a program wrote.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startApp starts a program with nothing in its environment but env and what it
// needs to run at all.
func startApp(t testing.TB, cmd *exec.Cmd, env []string) *app {
	t.Helper()
	a := &app{cmd: cmd, lines: make(chan string, 1024)}
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "COMPONENT=" + component, "SHOP=" + shop, "OWN=" + own,
	}, env...)
	cmd.Stderr = &a.out
	var err error
	if a.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() {
		defer close(a.lines)
		for s := bufio.NewScanner(io.TeeReader(out, &a.out)); s.Scan(); {
			a.lines <- s.Text()
		}
	}()
	return a
}

// round makes the program do one round of calls.
func (a *app) round(t testing.TB, n int) {
	t.Helper()
	if _, err := io.WriteString(a.in, "\n"); err != nil {
		t.Fatalf("round %d: %v\n%s", n, err, a.out.String())
	}
	a.wait(t, fmt.Sprintf("round %d ok", n))
}

func (a *app) wait(t testing.TB, want string) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case line, ok := <-a.lines:
			if line == want {
				return
			}
			if !ok {
				_ = a.cmd.Wait() // so that all that it said is there
				t.Fatalf("it ended before %q:\n%s", want, a.out.String())
			}
		case <-late.C:
			t.Fatalf("%q never came:\n%s", want, a.out.String())
		}
	}
}

// end lets the program come to its end.
func (a *app) end(t testing.TB) {
	t.Helper()
	if err := a.in.Close(); err != nil {
		t.Error(err)
	}
	for range a.lines {
		continue
	}
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, a.out.String())
	}
}

// holdsNone looks for the secrets in what the program said, and in its memory.
func (a *app) holdsNone(t testing.TB, secrets []string) {
	t.Helper()
	if len(secrets) < 8 {
		t.Fatalf("WeChat has only %d secrets", len(secrets))
	}
	memory := readMemory(t, a.cmd.Process.Pid)
	if !strings.Contains(memory, "held-by-wxsidecar") {
		t.Error("its memory was not read: what it certainly holds is not in it")
	}
	for _, secret := range secrets {
		if strings.Contains(a.out.String(), secret) {
			t.Errorf("it says a secret: %s", secret)
		}
		if strings.Contains(memory, secret) {
			t.Errorf("it holds a secret: %s", secret)
		}
	}
}
