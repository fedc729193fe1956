package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// suite is all tests of the package, and a folder for what they build.
type suite struct{ *testing.M }

// builds is that folder. It is set before the first test and removed after the last.
var builds string

// Run implements testscript.TestingM.
func (s suite) Run() int {
	var err error
	if builds, err = os.MkdirTemp("", "wxsidecar-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(builds) }()
	return s.M.Run()
}

// The real program, as it is shipped and with checkpoints. Each is built once, since linking takes seconds.
var (
	shippedBuild    = sync.OnceValues(func() (string, error) { return build("shipped", ".ci/build") })
	checkpointBuild = sync.OnceValues(func() (string, error) { return build("checkpoint", "go", "build", "-tags", "checkpoint", "-o") })
)

// build has command build the program into the file that it is given last.
func build(name string, command ...string) (string, error) {
	binary := filepath.Join(builds, name, "wxsidecar")
	if out, err := exec.Command(command[0], append(command[1:], binary)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
}

// mustBuild returns the file of the program.
func mustBuild(t *testing.T, build func() (string, error)) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// buildProgram returns the file of the program, and a folder of the test's own.
func buildProgram(t *testing.T) (binary, dir string) {
	t.Helper()
	return mustBuild(t, shippedBuild), t.TempDir()
}
