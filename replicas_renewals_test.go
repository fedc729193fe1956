package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// What renews a token.
const (
	componentTokenPath  = "/cgi-bin/component/api_component_token"
	authorizerTokenPath = "/cgi-bin/component/api_authorizer_token"
)

const (
	// renewEarliest is the share of a token's life before which no sidecar renews it by itself:
	// renewal.at less the jitter, less what the calls take. Two renewals closer together are one
	// too many.
	renewEarliest = 0.6
	// renewTooOften is how many renewals there may be, by what one sidecar would make.
	renewTooOften = 1.15
	// spreadTime is how long after its renewal every replica serves a token at the latest.
	spreadTime = time.Second
)

// TestReplicas_RenewOnce has several replicas serve the same merchants for some lives of their
// tokens: they renew hardly more often than one would, each serves each new token at once, and no
// call fails.
func TestReplicas_RenewOnce(t *testing.T) {
	o := replicaOptions{Replicas: 4, Merchants: 10, Life: 6 * time.Second, Overlap: 2 * time.Second}
	run, pause := 15*time.Second, 20*time.Millisecond
	if nightly() {
		o = replicaOptions{Replicas: 8, Merchants: 20, Life: 24 * time.Second, Overlap: 4 * time.Second}
		run, pause = 10*time.Minute, 50*time.Millisecond
	}
	redis := redistest.Start(t, redistest.Options{})
	o.Store = redis.URL()
	w := newReplicaWorld(t, o)
	w.awaitAll()
	since := time.Now()
	least := int(float64(run)/(0.75*float64(o.Life))) * len(w.accounts())
	before := w.tokenCalls()
	load := w.startLoad(8, pause, w.accounts())
	awaitFor(t, run, fmt.Sprintf("%d renewals within %s", least, run), func() bool { return w.tokenCalls()-before >= least })
	calls := load.end()
	r, took := w.renewals(since), time.Since(since)
	t.Logf("%d replicas, %d keys, %s with tokens of %s: %d calls, %d renewals, %d of them too many; a new token was everywhere after %s",
		o.Replicas, o.Merchants+1, took.Round(time.Millisecond), o.Life, calls, r.total, r.surplus, r.spread)
	if r.total < least {
		t.Errorf("%d renewals; want %d at least: the trial shows nothing", r.total, least)
	}
	if ideal := r.total - r.surplus; float64(r.total) > renewTooOften*float64(ideal) {
		t.Errorf("%d renewals where one sidecar would make %d", r.total, ideal)
	}
	if r.spread > spreadTime {
		t.Errorf("a replica served a replaced token %s after the renewal", r.spread)
	}
	w.wantNoSecretsIn(redis)
	if v := w.sim.Violations(); len(v) != 0 {
		t.Errorf("WeChat saw what it never should: %s", strings.Join(v, "; "))
	}
}

// renewals is what WeChat saw of them.
type renewals struct {
	total, surplus int
	// spread is the longest time after a renewal at which a replica still used the token before.
	spread time.Duration
}

// renewals reads them off WeChat's records, which must go back to the start: the first token of
// a key has the generation 1. It counts those after since.
func (w *replicaWorld) renewals(since time.Time) renewals {
	var r renewals
	issued := map[string][]time.Time{} // by key, of each generation
	for _, req := range w.sim.Requests() {
		if key := renewedKey(&req); key != "" {
			if before := issued[key]; len(before) > 0 && req.At.After(since) {
				r.total++
				if float64(req.At.Sub(before[len(before)-1])) < renewEarliest*float64(w.options.Life) {
					r.surplus++
				}
			}
			issued[key] = append(issued[key], req.At)
			continue
		}
		key, used := string(req.TokenKind)+" "+req.TokenAppID, int(req.TokenGeneration)
		if strings.Contains(req.URI, "replica=") && req.At.After(since) && used < len(issued[key]) {
			r.spread = max(r.spread, req.At.Sub(issued[key][used]))
		}
	}
	return r
}

// tokenCalls returns how often WeChat was asked for a new token.
func (w *replicaWorld) tokenCalls() int {
	return w.sim.Calls(componentTokenPath) + w.sim.Calls(authorizerTokenPath)
}

// renewedKey returns whose token the call has renewed; "" for other calls.
func renewedKey(req *wechattest.Request) string {
	u, err := url.Parse(req.URI)
	if err != nil || req.Errcode != 0 || req.Status != 200 {
		return ""
	}
	switch u.Path {
	case componentTokenPath:
		return string(wechattest.KindComponent) + " " + req.AppID
	case authorizerTokenPath:
		return string(wechattest.KindAuthorizer) + " " + req.AppID
	default:
		return ""
	}
}
