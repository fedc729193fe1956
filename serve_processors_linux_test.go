package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// The real program, which has nothing to do, runs on one processor; with GOMAXPROCS on as many as
// that says.
func TestProcessors_OfTheProgram(t *testing.T) {
	binary, _ := buildProgram(t)
	start := func(number string) (processors func() string) {
		cmd := exec.Command(binary, "serve")
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(),
			"WXSIDECAR_ACCOUNTS_0_APPID="+memoryAccount, "WXSIDECAR_ACCOUNTS_0_SECRET="+memorySecret,
			"WXSIDECAR_LISTEN_APPS=127.0.0.1:0", "WXSIDECAR_LISTEN_PUSH=off", "WXSIDECAR_LISTEN_METRICS=127.0.0.1:0",
			"WXSIDECAR_LISTEN_ADMIN=off", "WXSIDECAR_STORE=memory:", "WXSIDECAR_LOG_FORMAT=json", "GOMAXPROCS="+number,
			"WXSIDECAR_UPSTREAM_URL=http://127.0.0.1:1",
		)
		_, address := startCommand(t, cmd, "metrics")
		return func() string { return scrapedProcessors(t, address) }
	}
	told, free := start("2"), start("")
	awaitFor(t, 30*time.Second, "one processor", func() bool { return free() == "1" })
	if n := told(); n != "2" {
		t.Errorf("it runs on %s processors, and GOMAXPROCS is 2", n)
	}
}

var shownProcessors = regexp.MustCompile(`(?m)^go_sched_gomaxprocs_threads (\d+)$`)

func scrapedProcessors(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := shownProcessors.FindSubmatch(page)
	if found == nil {
		t.Fatalf("no go_sched_gomaxprocs_threads in %d bytes", len(page))
	}
	return string(found[1])
}
