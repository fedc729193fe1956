// Package browsertest runs tests of pages in Chromium: programs for Node in the folder of a test.
// It needs Debian's chromium, nodejs and npm, and the npm registry once.
//
// The package is for tests only and makes no API promise outside this module.
package browsertest

import (
	"os"
	"os/exec"
	"testing"
)

// Run runs main.js of the test's folder with Node, in a copy of the folder with its packages
// installed, and shows what it prints. The program finds Chromium by CHROMIUM, and env beside
// the environment. Unless it ends with status 0 the test fails.
func Run(t *testing.T, env ...string) {
	t.Helper()
	chromium, node := Need(t, "chromium", "chromium"), Need(t, "node", "nodejs")
	program := exec.Command(node, "main.js")
	program.Dir = modules(t)
	program.Env = append(append(os.Environ(), "CHROMIUM="+chromium), env...)
	out, err := program.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("%s", out)
}

// Need returns the path of a program, which the package of Debian has.
func Need(t *testing.T, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: install Debian's package %s", program, debian)
	}
	return path
}

// modules returns a copy of the test's folder with its packages installed.
func modules(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	install := exec.Command(Need(t, "npm", "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci (the npm registry must be reachable): %v\n%s", err, out)
	}
	return dir
}
