package redisstore_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/storetest"
)

// nightly reports whether a run may take its time.
func nightly() bool { return os.Getenv("WXSIDECAR_NIGHTLY") == "1" }

// snapshot is what a server had.
type snapshot struct {
	server *redistest.Server
	had    []string // key, milliseconds to live (0 for ever), content: of each
}

func (s *snapshot) save() {
	s.had = nil
	list, _ := s.server.MustDo("EVAL", `
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  out[#out+1], out[#out+2], out[#out+3] = key, tostring(math.max(0, redis.call('PTTL', key))), redis.call('DUMP', key)
end
return out`, "0").([]any)
	for _, field := range list {
		s.had = append(s.had, fmt.Sprint(field))
	}
}

func (s *snapshot) restore() {
	s.server.MustDo(append([]string{"EVAL", `
redis.call('FLUSHALL')
for i = 1, #ARGV, 3 do redis.call('RESTORE', ARGV[i], ARGV[i+1], ARGV[i+2]) end`, "0"}, s.had...)...)
}

// worldOf is a server with what may happen to it. A sidecar's requests go through a link of its own
// where there are links.
func worldOf(t *testing.T, links bool) storetest.World {
	s := redistest.Start(t, redistest.Options{})
	had := &snapshot{server: s}
	w := storetest.World{
		LeaseLife: time.Hour,
		Expire:    func(name string) { s.MustDo("DEL", "{wxsidecar}:l:"+name) },
		NewFences: true,
		Empty:     s.Flush,
		Save:      had.save,
		Restore:   had.restore,
	}
	var all []*redistest.Link
	for range 7 {
		url := s.URL()
		if links {
			l := redistest.NewLink(t, s.Addr())
			all, url = append(all, l), s.URLVia(l.Addr())
		}
		w.Views = append(w.Views, store.Shared(open(t, url)))
	}
	if links {
		w.Lose = func(view int, answer bool) func() {
			if answer {
				all[view].LoseAnswers(1)
			} else {
				all[view].LoseRequests(1)
			}
			return all[view].Heal
		}
	}
	return w
}

// Requests and answers are lost in front of the store, which is fast.
func TestStore_Replicas(t *testing.T) {
	runs := 500
	if nightly() {
		runs = 100_000
	}
	storetest.RunReplicas(t, worldOf(t, false), runs)
}

// Requests and answers are lost with their connections, so the client's own repetitions count too.
func TestStore_ReplicasOverLinks(t *testing.T) {
	runs := 100
	if nightly() {
		runs = 2_000
	}
	storetest.RunReplicas(t, worldOf(t, true), runs)
}
