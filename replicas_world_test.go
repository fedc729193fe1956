package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	replicaComponent = "wx7f00c0de00000001"
	// replicaPushToken and replicaAESKey are what WeChat pushes with.
	replicaPushToken = "push-token"
	replicaAESKey    = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// replicaOptions say what a world is like.
type replicaOptions struct {
	Replicas  int
	Merchants int
	Life      time.Duration // of a token
	Overlap   time.Duration // how long a replaced token still works
	Store     string        // the URL of the shared store
	// Checkpoints has the program end where it is told to; see replicaNode.armed.
	Checkpoints bool
	// Env is beside what all replicas have.
	Env []string
	// KeepRequests is how many records WeChat keeps; 0 for enough.
	KeepRequests int
}

// replicaWorld is several sidecars of one platform on one store, a WeChat whose tokens live for
// seconds, and WeChat's pushes, which reach the replicas in turn.
type replicaWorld struct {
	t         *testing.T
	options   replicaOptions
	binary    string
	keyFile   string
	sim       *wechattest.Server
	upstream  string
	merchants []string
	replicas  []*replicaNode
	turn      atomic.Int64 // whose turn the next push is
}

// newReplicaWorld starts all replicas and pushes the first ticket.
func newReplicaWorld(t *testing.T, o replicaOptions) *replicaWorld {
	t.Helper()
	build := shippedBuild
	if o.Checkpoints {
		build = checkpointBuild
	}
	w := &replicaWorld{t: t, options: o, binary: mustBuild(t, build)}
	w.keyFile = filepath.Join(t.TempDir(), "seal.key")
	key := make([]byte, 32)
	_, _ = rand.Read(key) // documented never to fail
	if err := os.WriteFile(w.keyFile, []byte(hex.EncodeToString(key)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.sim = wechattest.New(wechattest.Options{
		TokenLife: o.Life, Overlap: o.Overlap, TicketLife: time.Hour, RotateRefreshTokens: true,
		Pusher: w, PushRetry: 50 * time.Millisecond, KeepRequests: cmp.Or(o.KeepRequests, 1<<18),
	})
	t.Cleanup(w.sim.Close)
	w.sim.AddComponent(wechattest.Component{
		AppID: replicaComponent, Secret: "component-secret", PushToken: replicaPushToken, EncodingAESKey: replicaAESKey,
		PushURL:    "http://push.invalid/wechat/" + replicaComponent + "/event",
		MessageURL: "http://push.invalid/wechat/" + replicaComponent + "/message/$APPID$",
	})
	w.merchants = w.sim.AddAuthorizers(replicaComponent, o.Merchants)
	srv := httptest.NewServer(w.sim)
	t.Cleanup(srv.Close)
	w.upstream = srv.URL
	t.Cleanup(w.wantNoSecrets)
	for range o.Replicas {
		w.add()
	}
	if err := w.sim.PushTicket(t.Context(), replicaComponent); err != nil {
		t.Fatalf("the first ticket: %v", err)
	}
	return w
}

// add starts one replica more.
func (w *replicaWorld) add() *replicaNode {
	w.t.Helper()
	r := &replicaNode{world: w, n: len(w.replicas), dir: w.t.TempDir()}
	r.start()
	w.replicas = append(w.replicas, r)
	return r
}

// RoundTrip is WeChat's way to the push listeners behind a load balancer: the next replica that
// runs gets the push.
func (w *replicaWorld) RoundTrip(req *http.Request) (*http.Response, error) {
	for range w.replicas {
		r := w.replicas[int(w.turn.Add(1))%len(w.replicas)]
		if process := r.running(); process != nil {
			req = req.Clone(req.Context())
			req.URL.Host = process.push
			return http.DefaultTransport.RoundTrip(req)
		}
	}
	return nil, fmt.Errorf("no replica runs")
}

// accounts are all that can be called for.
func (w *replicaWorld) accounts() []string { return append([]string{replicaComponent}, w.merchants...) }

// nextPushTo has the next push go to that replica, unless it does not run.
func (w *replicaWorld) nextPushTo(n int) { w.turn.Store(int64(len(w.replicas) + n - 1)) }

// awaitAll waits until each replica that runs serves each merchant and the component.
func (w *replicaWorld) awaitAll() {
	w.t.Helper()
	for _, r := range w.replicas {
		if process := r.running(); process != nil {
			for _, appID := range w.accounts() {
				w.awaitServed(process, appID)
			}
		}
	}
}

// awaitServed waits until the replica's call for an account is good.
func (w *replicaWorld) awaitServed(process *replicaProcess, appID string) {
	w.t.Helper()
	var last string
	awaitFor(w.t, 2*patience, "replica "+process.name+" serves "+appID, func() bool {
		last = process.call(appID)
		return last == ""
	})
}

// secrets are what no log and no Redis may have.
func (w *replicaWorld) secrets() []string {
	return append(w.sim.Secrets(), replicaPushToken, replicaAESKey, "component-secret")
}

// wantNoSecretsIn searches all that Redis has.
func (w *replicaWorld) wantNoSecretsIn(redis *redistest.Server) {
	w.t.Helper()
	redis.MustDo("CONFIG", "SET", "rdbcompression", "no")
	redis.MustDo("SAVE")
	dir, _ := redis.MustDo("CONFIG", "GET", "dir").([]any)
	if len(dir) != 2 {
		w.t.Fatalf("the folder of Redis: %v", dir)
	}
	text, err := os.ReadFile(filepath.Join(fmt.Sprint(dir[1]), "dump.rdb"))
	if err != nil || !bytes.Contains(text, []byte(w.merchants[0])) {
		w.t.Fatalf("the dump of %d bytes does not name the first merchant; %v", len(text), err)
	}
	for _, s := range w.secrets() {
		if bytes.Contains(text, []byte(s)) {
			w.t.Errorf("Redis has a secret of %d letters", len(s))
		}
	}
}

// wantNoSecrets searches what the replicas logged, and shows its end where the test failed.
func (w *replicaWorld) wantNoSecrets() {
	secrets := w.secrets()
	for _, r := range w.replicas {
		text, err := os.ReadFile(r.logFile())
		if err != nil {
			w.t.Error(err)
		}
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				w.t.Errorf("the log of replica %d has a secret of %d letters", r.n, len(s))
			}
		}
		if lines := strings.SplitAfter(string(text), "\n"); w.t.Failed() {
			w.t.Logf("replica %d, the end of its log:\n%s", r.n, strings.Join(lines[max(0, len(lines)-30):], ""))
		}
	}
}

// born returns when WeChat gave out its first token. The others of a new world are hardly younger.
func (w *replicaWorld) born() time.Time {
	w.t.Helper()
	for _, req := range w.sim.Requests() {
		if renewedKey(&req) != "" {
			return req.At
		}
	}
	w.t.Fatal("WeChat gave out no token yet")
	return time.Time{}
}

// awaitAge waits until the first tokens have lived that share of their life. Renewals begin at 0.65.
func (w *replicaWorld) awaitAge(share float64) {
	w.t.Helper()
	w.lifePasses(w.born(), share)
}

// lifePasses waits until a share of a token's life has passed since then.
func (w *replicaWorld) lifePasses(since time.Time, share float64) {
	pass(since.Add(time.Duration(share * float64(w.options.Life))))
}

// pass waits for a date. It is for what is a stretch of time itself: how old tokens are, how long Redis is
// away, what a second costs. All else waits for what it wants to see.
func pass(date time.Time) { time.Sleep(time.Until(date)) }

// nightly reports whether trials may take long.
func nightly() bool { return os.Getenv("WXSIDECAR_NIGHTLY") == "1" }
