package redistest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// patience bounds what is waited for. It is long for a busy machine; nothing takes so long.
const patience = 60 * time.Second

// wait is Await for what servers do by themselves.
func wait(t testing.TB, what string, done func() (ok bool, seen any)) {
	t.Helper()
	Await(t, patience, what, done)
}

// Await asks done again until it says ok, and fails the test if that takes longer than within. Seen
// is what there is in its place: an error, say.
func Await(t testing.TB, within time.Duration, what string, done func() (ok bool, seen any)) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		ok, seen := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s; last seen: %v", what, within, seen)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func addrOf(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// process is one redis-server.
type process struct {
	t    testing.TB
	dir  string
	args []string // after the program's name
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
}

// start starts it. It is killed with the test, however that ends.
func (p *process) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	p.cmd = exec.Command("redis-server", p.args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = p.dir, log, log, dieWithParent()
	p.gone = make(chan struct{})
	if err := startAndReap(p.cmd, p.gone); err != nil {
		p.t.Fatalf("redis-server: %v; .ci/deps installs it", err)
	}
}

// startAndReap starts cmd from a thread that lives as long as it: the kernel takes the death of
// that thread for its parent's.
func startAndReap(cmd *exec.Cmd, gone chan<- struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // killed, nearly always
			close(gone)
		}
	}()
	return <-started
}

func (p *process) logFile() string { return filepath.Join(p.dir, "log") }

// running reports whether it has not ended.
func (p *process) running() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("signal %v to redis-server: %v", s, err)
	}
}

// kill ends it as a crash does, and returns when it has ended.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.gone
}

// showLog prints the end of what it has said.
func (p *process) showLog() {
	log, err := os.ReadFile(p.logFile())
	if err != nil {
		p.t.Logf("no log of redis-server: %v", err)
		return
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	lines = lines[max(0, len(lines)-30):]
	p.t.Logf("redis-server %s:\n%s", fmt.Sprint(p.args), bytes.Join(lines, []byte("\n")))
}
