package programtest_test

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m) }

func TestBuild(t *testing.T) {
	path := programtest.Build(t)
	if again := programtest.Build(t); again != path {
		t.Errorf("it is built again, into %s", again)
	}
	out, err := exec.Command(path, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "wxsidecar") {
		t.Errorf("%v: %s", err, out)
	}
}

// No port is given twice, though nobody listens on one, and all can be listened on. Another
// process does not get one either, as the kernel keeps them apart.
func TestFreePort(t *testing.T) {
	given := map[int]bool{}
	for range 200 {
		port := programtest.FreePort(t)
		if given[port] || port >= 32_768 {
			t.Fatalf("%d was given already, or is one that the kernel takes for connections", port)
		}
		given[port] = true
	}
	for port := range given {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if claim, err := net.ListenPacket("udp", addr); err == nil {
			_ = claim.Close()
			t.Errorf("nobody keeps %d for this test", port)
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = ln.Close()
	}
}
