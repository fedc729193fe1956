package redisstore_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// rounds is how often a failover is tried.
func rounds() int {
	if nightly() {
		return 200
	}
	return 1
}

func viewsOf(t *testing.T, url string) []store.Shared {
	return []store.Shared{open(t, url), open(t, url), open(t, url)}
}

// The primary is killed while sidecars renew, and the other way its last writes get lost as well:
// what was acknowledged is repaired from memory, and nobody has to start again.
func TestStore_SentinelFailovers(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t, redistest.Options{})
	rs := startRenewers(t, viewsOf(t, s.URL())...)
	rs.goOn("the start")
	for range rounds() {
		s.Failover()
		rs.goOn("a failover")
		old := s.LoseWrites(func() { rs.goOn("the replicas were cut off") })
		rs.goOn("a failover that lost writes")
		old.Restart()
		s.Await()
	}
}

// The same in a Cluster, whose slot also moves to another node meanwhile.
func TestStore_ClusterFailovers(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, redistest.Options{})
	rs := startRenewers(t, viewsOf(t, c.URL())...)
	rs.goOn("the start")
	for range rounds() {
		c.Failover("{wxsidecar}:fence")
		rs.goOn("a failover")
		c.MoveSlot("{wxsidecar}:fence", nil)
		rs.goOn("a move of the slot")
		c.Await()
	}
}

// Whatever happens to a server, sidecars go on when it is over, and forget nothing.
func TestStore_Heals(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	other := redistest.Start(t, redistest.Options{})
	link := redistest.NewLink(t, s.Addr())
	rs := startRenewers(t, open(t, s.URL()), open(t, s.URLVia(link.Addr())), open(t, s.URLVia(link.Addr())))
	rs.goOn("the start")
	f := func(what string, fault func(), over ...string) {
		t.Helper()
		fault()
		if len(over) > 0 {
			rs.fail(what)
			s.MustDo(over...)
		}
		rs.goOn(what)
	}
	f("FLUSHALL", s.Flush)
	f("SCRIPT FLUSH", func() { s.MustDo("SCRIPT", "FLUSH") })
	f("all connections closed", func() { s.MustDo("CLIENT", "KILL", "TYPE", "normal") })
	f("a start again with nothing", s.Restart)
	f("a start again without the last writes", func() {
		s.MustDo("SAVE")
		rs.goOn("a save")
		s.Restart()
	})
	f("a lease of somebody who is gone", func() { s.MustDo("SET", "{wxsidecar}:l:"+renewed, "gone 1", "PX", "300") })
	f("no memory left", func() { s.MustDo("CONFIG", "SET", "maxmemory", "1") }, "CONFIG", "SET", "maxmemory", "0")
	f("no replica to write to", func() { s.MustDo("CONFIG", "SET", "min-replicas-to-write", "1") }, "CONFIG", "SET", "min-replicas-to-write", "0")
	f("another type under the record's key", func() {
		s.MustDo("EVAL", "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'x')", "1", "{wxsidecar}:r:"+renewed)
	}, "DEL", "{wxsidecar}:r:"+renewed)
	f("eviction", func() {
		for _, key := range []string{"r:" + renewed, "fence", "changes", "names"} {
			s.MustDo("DEL", "{wxsidecar}:"+key)
			rs.goOn("eviction of " + key)
		}
	})
	f("a script of somebody else", func() {
		s.MustDo("CONFIG", "SET", "busy-reply-threshold", "50")
		go s.Do("EVAL", "while true do end", "0")
	}, "SCRIPT", "KILL")
	f("READONLY", func() { replicate(t, s, other) }, "REPLICAOF", "NO", "ONE")
	f("a server that is stopped", func() {
		s.Stop()
		rs.fail("a stop")
		s.Cont()
	})
	f("requests and answers lost", func() {
		link.LoseRequests(5)
		rs.goOn("lost requests")
		link.LoseAnswers(5)
		rs.goOn("lost answers")
	})
	for what, on := range map[string]func(bool){"requests do not arrive": link.HoldRequests, "answers do not arrive": link.HoldAnswers, "connections are refused": link.Refuse} {
		f(what, func() {
			on(true)
			rs.fail(what)
			on(false)
		})
	}
	f("a slow network", func() {
		link.Delay(100 * time.Millisecond)
		rs.goOn("a slow network")
		link.Heal()
	})
}

// A server that still loads its data is waited for.
func TestStore_HealsAfterLoading(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{Config: []string{"key-load-delay 10000", "loading-process-events-interval-bytes 1024"}})
	rs := startRenewers(t, viewsOf(t, s.URL())...)
	rs.goOn("the start")
	s.MustDo("EVAL", "for i = 1, 300 do redis.call('SET', 'k' .. i, string.rep('x', 100)) end", "0")
	s.MustDo("SAVE")
	rs.goOn("a save")
	s.Restart()
	rs.goOn("a start that took its time")
	if reads := s.Info("cmdstat_hmget"); reads == "" || strings.Contains(reads, "rejected_calls=0,") {
		t.Errorf("no read was answered LOADING, so nothing was tried: %s", reads)
	}
}

// replicate makes s a replica of another server, with the data of that one.
func replicate(t *testing.T, s, primary *redistest.Server) {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	s.MustDo("REPLICAOF", host, port)
}
