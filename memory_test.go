//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
)

const (
	memoryAccount  = "wx00000000000000aa"
	memorySecret   = "own-secret"
	memoryParallel = 8
	memoryBody     = 50 << 20
	memoryGrowth   = 16 << 20

	memoryUploads  = 64
	uploadBody     = 10 << 20
	keptMemory     = 64 << 20
	staleAnswer    = `{"errcode":40001,"errmsg":"stale"}`
	uploadedAnswer = `{"errcode":0,"errmsg":"ok"}`
)

// TestMemory sends eight bodies of 50 MiB up and down at once through the real
// program, and wants them whole and its resident memory flat.
func TestMemory(t *testing.T) {
	upstream := newMemoryUpstream(t)
	pid, apps := startForMemory(t, upstream.URL)
	wantGrowth(t, pid, apps, memoryGrowth, memoryParallel, func(i int) error {
		return exchangeLarge(apps, memoryBody, i%2 == 0)
	})
}

// TestMemory_KeptUploads sends 64 of WeChat's longest uploads at once, with a token
// that is stale for each. All arrive whole, those that could be kept are sent again,
// and resident memory grows by what may be kept.
func TestMemory_KeptUploads(t *testing.T) {
	upstream := newMemoryUpstream(t)
	pid, apps := startForMemory(t, upstream.URL)
	var cured atomic.Int64
	wantGrowth(t, pid, apps, keptMemory+memoryGrowth, memoryUploads, func(int) error {
		replayed, err := uploadStale(apps)
		if replayed {
			cured.Add(1)
		}
		return err
	})
	if n := cured.Load(); n < keptMemory*3/4/uploadBody {
		t.Errorf("%d of %d uploads were cured; %d bodies could be kept at any time", n, memoryUploads, keptMemory*3/4/uploadBody)
	}
}

// wantGrowth makes that many calls at once, and wants the resident memory to grow by at
// most limit.
func wantGrowth(t *testing.T, pid int, apps string, limit int64, calls int, call func(i int) error) {
	t.Helper()
	// What the first call brings into memory is not what a large body costs.
	if err := exchangeLarge(apps, 1<<20, true); err != nil {
		t.Fatal(err)
	}
	before := memoryOf(t, pid, "VmRSS")
	resetPeak(t, pid)
	together(t, calls, call)
	peak := memoryOf(t, pid, "VmHWM")
	t.Logf("resident before %d MiB, at most %d MiB", before>>20, peak>>20)
	if peak-before > limit {
		t.Errorf("resident memory grew by %d MiB, from %d", (peak-before)>>20, before>>20)
	}
}

// uploadStale sends an upload that meets a stale token, and reports whether the app
// did not see that.
func uploadStale(apps string) (cured bool, err error) {
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://%s/stale?size=%d", apps, uploadBody), &period{n: uploadBody})
	if err != nil {
		return false, err
	}
	req.ContentLength = uploadBody
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return false, err
	case string(text) == staleAnswer && resp.Header.Get("X-Wxsidecar-Replay") == "memory-used-up":
		return false, nil
	case string(text) == uploadedAnswer:
		return true, nil
	default:
		return false, fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
}

// exchangeLarge sends a body of that size and wants one back, with its length or in
// chunks.
func exchangeLarge(apps string, size int64, sized bool) error {
	url := fmt.Sprintf("http://%s/large?size=%d&sized=%v", apps, size, sized)
	req, err := http.NewRequest(http.MethodPost, url, &period{n: size})
	if err != nil {
		return err
	}
	req.ContentLength = size
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return wholeBody(resp.Body, size)
}
