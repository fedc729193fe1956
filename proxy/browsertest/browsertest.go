// Package browsertest runs tests of pages in Chromium: programs for Node in the folder of a test.
// It needs Debian's chromium, nodejs and npm, and the npm registry once.
//
// The package is for tests only and makes no API promise outside this module.
package browsertest

import (
	"os"
	"os/exec"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// Run runs main.js of the test's folder with Node, in a copy of the folder with its packages
// installed, and shows what it prints. The program finds Chromium by CHROMIUM, and env beside
// the environment. Unless it ends with status 0 the test fails.
func Run(t *testing.T, env ...string) {
	t.Helper()
	chromium, node := programtest.Need(t, "chromium", "chromium"), programtest.Need(t, "node", "nodejs")
	program := exec.Command(node, "main.js")
	program.Dir = programtest.NodeModules(t, ".")
	program.Env = append(append(os.Environ(), "CHROMIUM="+chromium), env...)
	out, err := program.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("%s", out)
}
