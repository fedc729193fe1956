//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

const (
	// authorizerMemory is what the program may take for each authorizer in use once a wave of
	// renewals is over, where they are many; of few, heapMemory is what counts: a heap below
	// 32 MiB may double.
	authorizerMemory = 1200
	heapMemory       = 16 << 20
	manyAuthorizers  = 100_000
	// memoryReturns is within what time the memory of a wave returns.
	memoryReturns = 45 * time.Second
)

// TestMemory_Authorizers calls once for each of as many merchants as WXSIDECAR_SCALE says, whose
// tokens all come meanwhile, and wants the real program to need no more for each than
// docs/scale.md says, soon after.
func TestMemory_Authorizers(t *testing.T) {
	otherwise := 10_000
	if nightly() {
		otherwise = manyAuthorizers
	}
	n := scaleNumber(t, "WXSIDECAR_SCALE", otherwise, 1000)
	one := residentWith(t, 1)
	base := one.rss()
	many := residentWith(t, n)
	limit := int64(n * authorizerMemory)
	if n < manyAuthorizers {
		limit += heapMemory
	}
	awaitFor(t, memoryReturns, "it takes at most "+mib(limit)+" more than with one merchant", func() bool { return many.rss()-base <= limit })
	if n >= manyAuthorizers { // what it takes later on
		pass(time.Now().Add(6 * memoryEvery))
	}
	if grown := many.rss() - base; grown > limit {
		t.Errorf("it takes %s more than with one merchant, want at most %s", mib(grown), mib(limit))
	}
	t.Logf("%d merchants in use: %s resident, %s of them the file and the program, %s at most, and %s with one merchant: %d bytes each",
		n, mib(many.rss()), mib(many.memory("RssFile")), mib(many.memory("VmHWM")), mib(base), (many.rss()-base)/int64(n))
}

// crowdedProgram is a real program of whose merchants each was called for.
type crowdedProgram struct {
	t   *testing.T
	pid int
}

// residentWith starts the program with a store in a file and so many merchants.
func residentWith(t *testing.T, merchants int) crowdedProgram {
	t.Helper()
	w := newReplicaWorld(t, replicaOptions{
		Replicas: 1, Merchants: merchants, Life: 2 * time.Hour, KeepRequests: 1,
		Store: "bolt:" + filepath.Join(t.TempDir(), "store.db"),
		Env:   []string{"WXSIDECAR_RENEWAL_RATE=5000", "WXSIDECAR_RENEWAL_WORKERS=64"},
	})
	trial := scaleTrial{replicaWorld: w}
	t.Logf("%d merchants: all have a token after %s", merchants, trial.firstTokens())
	return crowdedProgram{t, w.replicas[0].running().cmd.Process.Pid}
}

func (p crowdedProgram) memory(name string) int64 {
	p.t.Helper()
	return memoryOf(p.t, p.pid, name)
}

func (p crowdedProgram) rss() int64 {
	p.t.Helper()
	return p.memory("VmRSS")
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
