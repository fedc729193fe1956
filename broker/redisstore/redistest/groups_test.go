package redistest

import (
	"testing"
)

func TestSentinel_Failover(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {User: "me", Password: "pass", TLS: true}} {
		s := StartSentinel(t, o)
		s.Primary().MustDo("SET", "k", "1")
		s.awaitReplicas(s.Primary())
		old := s.KillPrimary()
		if old.running() {
			t.Error("the former primary runs")
		}
		if s.Primary() == old {
			t.Error("the former primary is still named")
		}
		says(t, s.Primary(), "1", "GET", "k")
		old.Restart()
		s.Await()
		refuses(t, old, "READONLY", "SET", "k", "2")
		says(t, old, "1", "GET", "k")
		s.Failover()
		says(t, s.Primary(), "1", "GET", "k")
	}
}

func TestSentinel_LoseWrites(t *testing.T) {
	t.Parallel()
	s := StartSentinel(t, Options{})
	s.Primary().MustDo("SET", "k", "kept")
	for range 2 {
		old := s.LoseWrites(func() { s.Primary().MustDo("SET", "k", "lost") })
		says(t, s.Primary(), "kept", "GET", "k")
		old.Restart()
		s.Await()
		says(t, old, "kept", "GET", "k")
	}
}

func TestCluster_Failover(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {User: "me", Password: "pass", TLS: true}} {
		c := StartCluster(t, o)
		const key = "{tag}k"
		c.Primary(key).MustDo("SET", key, "1")
		c.Await()
		old := c.KillPrimary(key)
		says(t, c.Primary(key), "1", "GET", key)
		old.Restart()
		c.Await()
		refuses(t, old, "MOVED", "GET", key)
		c.Failover(key)
		says(t, c.Primary(key), "1", "GET", key)
	}
}

func TestCluster_MoveSlot(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, Options{Password: "pass"})
	from := c.Primary("{tag}1")
	for _, key := range []string{"{tag}1", "{tag}2", "{tag}3"} {
		from.MustDo("SET", key, key)
	}
	c.MoveSlot("{tag}1", func() { refuses(t, from, "ASK", "GET", "{tag}2") })
	if c.Primary("{tag}1") == from {
		t.Error("the slot is where it was")
	}
	for _, key := range []string{"{tag}1", "{tag}2", "{tag}3"} {
		says(t, c.Primary(key), key, "GET", key)
		refuses(t, from, "MOVED", "GET", key)
	}
}
