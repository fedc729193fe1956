//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestMetricsFlood has 3,000 connections with three scrapes each come to the real
// program, 600 at a time. The kubelet, which ends a container after three failures in a
// row, is answered meanwhile, and memory stays what it was.
func TestMetricsFlood(t *testing.T) {
	binary, dir := buildProgram(t)
	cmd := exec.Command(binary, "serve")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "WXSIDECAR_ACCOUNTS_0_APPID="+memoryAccount, "WXSIDECAR_ACCOUNTS_0_SECRET="+memorySecret,
		"WXSIDECAR_UPSTREAM_URL=http://127.0.0.1:1", "WXSIDECAR_STORE=memory:", "WXSIDECAR_LOG_FORMAT=json",
		"WXSIDECAR_LISTEN_METRICS=127.0.0.1:0", "WXSIDECAR_LISTEN_APPS=off", "WXSIDECAR_LISTEN_PUSH=off", "WXSIDECAR_LISTEN_ADMIN=off")
	pid, address := startCommand(t, cmd, "metrics")

	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for range 5 {
			floodMetrics(address, 600)
		}
	}()
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	asked, failures := 0, 0
	for over := false; !over; asked++ {
		select {
		case <-flooded:
			over = true
		default:
		}
		resp, err := fresh.Get("http://" + address + "/livez")
		if err == nil && resp.StatusCode == http.StatusOK {
			_ = resp.Body.Close()
			failures = 0
			continue
		}
		if failures++; failures == 3 {
			t.Fatalf("three probes in a row failed, the last with %v %v", resp, err)
		}
	}
	peak := memoryOf(t, pid, "VmHWM")
	t.Logf("%d probes; resident at most %d MiB", asked, peak>>20)
	if peak > 96<<20 {
		t.Errorf("resident memory came to %d MiB", peak>>20)
	}
}

// floodMetrics sends three scrapes at once over each of n connections, and reads until they
// end or are left idle with their answers.
func floodMetrics(address string, n int) {
	const scrape = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
	const last = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			_, _ = fmt.Fprint(c, strings.Repeat(scrape, 3)+last)
			_, _ = io.Copy(io.Discard, c)
		})
	}
	wg.Wait()
}
