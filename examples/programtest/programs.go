package programtest

import (
	"os"
	"os/exec"
	"testing"
)

// Need returns the path of a program, or fails with the package of Debian that has it.
func Need(t testing.TB, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: install Debian's package %s", program, debian)
	}
	return path
}

// NodeModules returns a copy of a folder with a package-lock.json, in which its packages are
// installed.
func NodeModules(t testing.TB, folder string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	install := exec.Command(Need(t, "npm", "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci (the npm registry must be reachable): %v\n%s", err, out)
	}
	return dir
}
