package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// programs is the folder with the program and the simulator, which TestMain builds.
var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "wxsidecar-test-"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(programs) }()
	// Without the stamp of the version control, as that fails in a clone of another user.
	build := exec.Command("go", "build", "-buildvcs=false", "-o", programs+"/", ".", "./examples/simulator")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("go build: %v\n%s", err, out))
	}
	m.Run()
}

// process is a program that runs until the test ends.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// start runs a program, which gets env and nothing else of the environment.
func start(t *testing.T, dir string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.done
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("%s:\n%s", filepath.Base(program), &p.out)
		}
	})
	return p
}

// code waits for the end, and returns the exit code.
func (p *process) code() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// run returns what a program prints, and its exit code.
func run(t *testing.T, dir string, env []string, program string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// freePort returns a port of 127.0.0.1 that nobody listens on, and that no other test gets until t
// ends, of whatever process. It lies below those that the kernel takes for connections.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 11_000 + rand.IntN(21_000)
		claim, err := net.ListenPacket("udp", loopback(port)) // which no server does, and only one test can
		if err != nil {
			continue
		}
		if ln, err := net.Listen("tcp", loopback(port)); err == nil {
			t.Cleanup(func() { _ = claim.Close() })
			_ = ln.Close()
			return port
		}
		_ = claim.Close()
	}
	t.Fatal("no port of a hundred is free")
	return 0
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// await tries until ok, for a minute at most.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
