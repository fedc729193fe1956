//go:build linux

package main

import (
	"fmt"
	"net/http"
	"testing"
)

// What the program may have in memory, as docs/scale.md says.
const (
	idleResident     = 24 << 20
	usedResident     = 36 << 20
	downloadResident = 40 << 20

	manyConns    = 64
	callsOfEach  = 200
	manyDownload = 16
	downloadBody = 10 << 20
)

// TestMemory_Resident wants what the real program takes with one account: before it is used, after
// calls by 64 connections, and while it passes sixteen of WeChat's longest media on.
func TestMemory_Resident(t *testing.T) {
	upstream := newMemoryUpstream(t)
	binary, dir := buildProgram(t)
	pid, apps := startProgram(t, binary, dir, []string{
		"WXSIDECAR_LISTEN_PUSH=127.0.0.1:0", "WXSIDECAR_LISTEN_METRICS=127.0.0.1:0", "WXSIDECAR_LISTEN_ADMIN=127.0.0.1:0",
		"WXSIDECAR_STORE=bolt:store.db", "WXSIDECAR_UPSTREAM_URL=" + upstream.URL,
	})
	if err := downloadLarge(apps, 100); err != nil { // its token is there
		t.Fatal(err)
	}
	wantResident(t, pid, "VmRSS", idleResident, "after its first call")
	together(t, manyConns, func(int) error { return callOften(apps, callsOfEach) })
	wantResident(t, pid, "VmRSS", usedResident, fmt.Sprintf("after %d calls by each of %d connections", callsOfEach, manyConns))
	resetPeak(t, pid)
	together(t, manyDownload, func(int) error { return downloadLarge(apps, downloadBody) })
	wantResident(t, pid, "VmHWM", downloadResident, fmt.Sprintf("at most, with %d downloads of %s at once", manyDownload, mib(downloadBody)))
}

func wantResident(t *testing.T, pid int, what string, limit int64, when string) {
	t.Helper()
	got := memoryOf(t, pid, what)
	t.Logf("%s resident %s", mib(got), when)
	if got > limit {
		t.Errorf("%s resident %s, want at most %s", mib(got), when, mib(limit))
	}
}

// callOften makes so many small calls by a connection of its own.
func callOften(apps string, calls int) error {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range calls {
		if err := downloadBy(client, apps, 100); err != nil {
			return err
		}
	}
	return nil
}

// downloadLarge has the program pass so many bytes on.
func downloadLarge(apps string, size int64) error { return downloadBy(http.DefaultClient, apps, size) }

func downloadBy(client *http.Client, apps string, size int64) error {
	resp, err := client.Get(fmt.Sprintf("http://%s/large?size=%d", apps, size))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return wholeBody(resp.Body, size)
}
