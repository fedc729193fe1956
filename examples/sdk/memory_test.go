package sdk

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// readMemory returns all that a process has written to its memory. It needs Linux,
// and the right to trace a child, which a parent has by default.
func readMemory(t testing.TB, pid int) string {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatalf("%v (kernel.yama.ptrace_scope must be 0 or 1)", err)
	}
	defer memory.Close()
	var all strings.Builder
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if !strings.HasPrefix(mode, "rw") {
			continue
		}
		// What was never touched, or is a device's, cannot be read: no matter.
		_, _ = io.Copy(&all, io.NewSectionReader(memory, int64(from), int64(to-from)))
	}
	return all.String()
}
