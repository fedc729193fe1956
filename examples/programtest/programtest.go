// Package programtest has what tests share that run wxsidecar as a process of its own, or other
// programs beside it.
//
// The package is for tests only and makes no API promise outside this module.
package programtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const module = "github.com/wxsidecar/wxsidecar"

// builds is the folder for what Build builds. Main makes and removes it.
var builds string

// Main is for TestMain of a package whose tests use Build: it runs them, and removes what Build
// has built.
func Main(m *testing.M) {
	var err error
	if builds, err = os.MkdirTemp("", "wxsidecar-test-"); err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(builds) }()
	m.Run() // the caller's return ends the process with its code
}

// build builds the program once, since linking takes seconds.
var build = sync.OnceValues(func() (string, error) {
	if builds == "" {
		return "", fmt.Errorf("TestMain must call programtest.Main")
	}
	path := filepath.Join(builds, "wxsidecar")
	// Without the stamp of the version control, as that fails in a clone of another user.
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, module).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// Build returns the file of the program, which the first call builds. It may be called from
// several goroutines.
func Build(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FreePort returns a port of 127.0.0.1 that nobody listens on, and that no other test gets until t
// ends, of whatever process: a server may be down for a while. It lies below the range from which
// the kernel takes ports for connections.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 11_000 + rand.IntN(21_000)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		claim, err := net.ListenPacket("udp", addr) // which no server does, and only one test can
		if err != nil {
			continue
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			_ = claim.Close()
			continue
		}
		t.Cleanup(func() { _ = claim.Close() })
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no port of a hundred is free")
	return 0
}
