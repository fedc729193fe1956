package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// nobody is the user that the program runs as where the tests are root's.
const nobody = 65534

// A core dump would be full of secrets, and so is what a debugger of the same user reads.
func TestServe_KeepsItsMemoryToItself(t *testing.T) {
	t.Parallel()
	binary, err := os.Open(mustBuild(t, shippedBuild))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = binary.Close() }()
	// By its descriptor, as nobody may not enter the folder.
	cmd := exec.Command("/proc/self/fd/3", "serve")
	cmd.ExtraFiles = []*os.File{binary}
	cmd.Dir = "/"
	cmd.Env = []string{
		"WXSIDECAR_STORE=memory:", "WXSIDECAR_ACCOUNTS_0_APPID=" + scriptAccount, "WXSIDECAR_ACCOUNTS_0_SECRET=" + scriptAppSecret,
		"WXSIDECAR_UPSTREAM_URL=http://127.0.0.1:1", "WXSIDECAR_LISTEN_APPS=127.0.0.1:0", "WXSIDECAR_LISTEN_PUSH=off",
		"WXSIDECAR_LISTEN_METRICS=127.0.0.1:0", "WXSIDECAR_LISTEN_ADMIN=off",
	}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	var log programLog
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	await(t, "the program is ready", func() bool { return strings.Contains(log.String(), `"msg":"ready"`) })

	proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
	if limits := readText(t, proc+"limits"); !strings.Contains(strings.Join(strings.Fields(limits), " "), "Max core file size 0 0 bytes") {
		t.Errorf("a core dump may be written:\n%s", limits)
	}
	info, err := os.Stat(proc + "mem")
	if err != nil {
		t.Fatal(err)
	}
	// The kernel gives what a process keeps to itself to root.
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
		t.Errorf("%smem belongs to user %d: whoever has that name may read it", proc, owner)
	}
}
