package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// status returns what a replica says of itself and of the others.
func (p *replicaProcess) status(t *testing.T) admin.Status {
	t.Helper()
	res, err := p.client.Get("http://" + p.admin + "/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var s admin.Status
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil || res.StatusCode != http.StatusOK || s.Shared == nil {
		t.Fatalf("status %d, %+v, %v", res.StatusCode, s.Shared, err)
	}
	return s
}

// shownOthers returns whom a replica knows, each as "name" or, of one that has gone, "name gone", with
// how long ago it was seen.
func shownOthers(s *admin.Status) map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, o := range s.Shared.Others {
		name := o.Name
		if o.Away {
			name += " gone"
		}
		all[name] = s.Now.Sub(o.SeenAt)
	}
	return all
}

// TestReplicas_KnowEachOther has three replicas that write nothing know each other and who delivers
// events; one that is killed is shown as gone, since when, and then forgotten.
func TestReplicas_KnowEachOther(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, redistest.Options{})
	w := newReplicaWorld(t, replicaOptions{Replicas: 3, Merchants: 1, Life: 2 * time.Hour, Store: redis.URL()})
	w.awaitAll()
	names, deliverer := make([]string, 3), -1
	now := time.NewTicker(250 * time.Millisecond) // what is waited for takes seconds
	defer now.Stop()
	await(t, "each knows the others, and who delivers", func() bool {
		<-now.C
		all, delivering, agree := true, 0, 0
		for i, r := range w.replicas {
			s := r.running().status(t)
			names[i] = s.Shared.Name
			all = all && len(shownOthers(&s)) == 2
			if s.Outbox.Delivering {
				delivering, deliverer = delivering+1, i
			}
		}
		for i, r := range w.replicas {
			s := r.running().status(t)
			for j, name := range names {
				if _, known := shownOthers(&s)[name]; known == (i == j) {
					all = false
				}
			}
			if deliverer >= 0 && s.Outbox.DeliveredBy == names[deliverer] {
				agree++
			}
		}
		return all && delivering == 1 && agree == 2
	})
	w.replicas[deliverer].running().kill()
	rest := w.replicas[(deliverer+1)%3].running()
	// The killed one is made older in Redis, as nobody waits for an hour.
	age := func(ago time.Duration) {
		t.Helper()
		const key = "{wxsidecar}:peers"
		members, _ := redis.MustDo("ZRANGEBYLEX", key, "-", "+").([]any)
		for _, m := range members {
			if text := fmt.Sprint(m); strings.HasSuffix(text, names[deliverer]) {
				redis.MustDo("ZREM", key, text)
			}
		}
		redis.MustDo("ZADD", key, "0", fmt.Sprintf("%013d %s", time.Now().Add(-ago).UnixMilli(), names[deliverer]))
	}
	age(50 * time.Minute)
	await(t, "it is gone, and another delivers", func() bool {
		<-now.C
		s := rest.status(t)
		ago, gone := shownOthers(&s)[names[deliverer]+" gone"]
		return gone && (ago-50*time.Minute).Abs() < 2*time.Minute && s.Outbox.DeliveredBy != names[deliverer]
	})
	out, err := exec.Command(w.binary, "status", "--admin", rest.admin).CombinedOutput()
	if err != nil || !hasRow(string(out), names[deliverer], "away") || !hasRow(string(out), rest.status(t).Shared.Name, "this one") || strings.Count(string(out), "delivers events") != 1 {
		t.Errorf("%v: the verb says\n%s", err, out)
	}
	age(61 * time.Minute)
	await(t, "it is forgotten", func() bool {
		<-now.C
		s := rest.status(t)
		return len(s.Shared.Others) == 1
	})
}

// hasRow reports whether a line has both texts.
func hasRow(text, a, b string) bool {
	for line := range strings.Lines(text) {
		if strings.Contains(line, a) && strings.Contains(line, b) {
			return true
		}
	}
	return false
}
