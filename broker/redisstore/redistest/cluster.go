package redistest

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// Cluster is a cluster of six: three primaries, a replica each.
type Cluster struct {
	t       testing.TB
	Servers []*Server
	options Options
	certs   *certificates
}

// StartCluster starts six nodes, which replace a primary that does not answer for two seconds. On
// a busy machine a healthy node is silent for half a second and more.
func StartCluster(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := &Cluster{t: t, options: o}
	if o.TLS {
		c.certs = makeCertificates(t)
	}
	var buses [6]string // the ports at which nodes talk to each other
	for i := range buses {
		c.Servers = append(c.Servers, start(t, o, c.certs, func(int) []string {
			buses[i] = strconv.Itoa(programtest.FreePort(t))
			return []string{
				"cluster-enabled yes", "cluster-port " + buses[i], "cluster-node-timeout 2000",
				"cluster-replica-validity-factor 0", "cluster-allow-replica-migration no",
			}
		}))
	}
	c.join(buses[:])
	return c
}

// join makes one cluster of nodes that know nothing: the first three share the slots.
func (c *Cluster) join(buses []string) {
	c.t.Helper()
	for i, s := range c.Servers {
		s.MustDo("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		if i > 0 {
			c.Servers[0].MustDo("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.port), buses[i])
		}
	}
	const slots = 16384
	for i, s := range c.Servers[:3] {
		s.MustDo("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/3), strconv.Itoa((i+1)*slots/3-1))
	}
	for i, s := range c.Servers[3:] {
		primary := fmt.Sprint(c.Servers[i].MustDo("CLUSTER", "MYID"))
		wait(c.t, "a node knows its primary", func() (bool, any) {
			_, err := s.Do("CLUSTER", "REPLICATE", primary)
			return err == nil, err
		})
	}
	c.Await()
}

// URL returns the store's URL of it.
func (c *Cluster) URL() string {
	var addrs []string
	for _, s := range c.Servers {
		addrs = append(addrs, s.Addr())
	}
	u := url.URL{Scheme: "redis-cluster", Host: strings.Join(addrs, ","), User: c.options.userinfo()}
	if c.options.TLS {
		q := c.certs.query(c.options.ClientCert)
		q.Set("tls", "true")
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// Await returns once all six run and say that the cluster is whole: three primaries, each with a
// replica in step.
func (c *Cluster) Await() {
	c.t.Helper()
	wait(c.t, "a whole cluster", func() (bool, any) {
		primaries := 0
		for _, s := range c.Servers {
			if ok, seen := c.whole(s); !ok {
				return false, seen
			}
			role, err := s.Do("ROLE")
			if err != nil {
				return false, err
			}
			if !strings.HasPrefix(fmt.Sprint(role), "[master") {
				continue
			}
			primaries++
			if ok, seen := inStep(s, 1); !ok {
				return false, seen
			}
		}
		return primaries == 3, fmt.Sprintf("%d primaries", primaries)
	})
}

// whole reports whether a node takes the cluster for whole and knows nobody as failing.
func (c *Cluster) whole(s *Server) (bool, any) {
	info, err := s.Do("CLUSTER", "INFO")
	text := fmt.Sprint(info)
	if err != nil || field(text, "cluster_state") != "ok" || field(text, "cluster_known_nodes") != "6" || field(text, "cluster_size") != "3" {
		return false, fmt.Sprintf("%v, %v", text, err)
	}
	nodes, err := s.Do("CLUSTER", "NODES")
	text = fmt.Sprint(nodes)
	return err == nil && !strings.Contains(text, "fail") && !strings.Contains(text, "handshake") && strings.Count(text, " slave ")+strings.Count(text, ",slave ") == 3, text
}

// Primary returns the server that holds a key, as the first that answers says.
func (c *Cluster) Primary(key string) *Server {
	c.t.Helper()
	var primary *Server
	wait(c.t, "a primary for "+key, func() (bool, any) {
		var err error
		primary, err = c.primary(key)
		return err == nil, err
	})
	return primary
}

// primary asks every node whether it holds a key: each knows that best of itself, but for one
// that was replaced and has not heard of it.
func (c *Cluster) primary(key string) (*Server, error) {
	var found []*Server
	for _, s := range c.Servers {
		if _, err := s.Do("EXISTS", key); err == nil {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d nodes serve it", len(found))
	}
	return found[0], nil
}

// KillPrimary ends the primary of a key as a crash does and returns it once another serves it.
// [Server.Restart] and [Cluster.Await] make it that one's replica.
func (c *Cluster) KillPrimary(key string) *Server {
	c.t.Helper()
	old := c.Primary(key)
	old.Kill()
	if now := c.Primary(key); now == old {
		c.t.Fatalf("%s serves %s, and was killed", now.Addr(), key)
	}
	return old
}

// Failover kills the primary of a key, waits for another, and makes the first one its replica.
func (c *Cluster) Failover(key string) {
	c.t.Helper()
	c.KillPrimary(key).Restart()
	c.Await()
}

// MoveSlot moves the slot of a key, with all that lies there, to another primary: clients are
// answered ASK and TRYAGAIN while the keys go one by one, MOVED afterwards. Between, unless it is
// nil, runs when all keys have gone and the slot has not: each request is then answered ASK.
func (c *Cluster) MoveSlot(key string, between func()) {
	c.t.Helper()
	from := c.Primary(key)
	to := c.otherPrimary(from)
	slot := fmt.Sprint(from.MustDo("CLUSTER", "KEYSLOT", key))
	fromID, toID := fmt.Sprint(from.MustDo("CLUSTER", "MYID")), fmt.Sprint(to.MustDo("CLUSTER", "MYID"))
	to.MustDo("CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	from.MustDo("CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	for {
		keys, ok := from.MustDo("CLUSTER", "GETKEYSINSLOT", slot, "1").([]any)
		if !ok || len(keys) == 0 {
			break
		}
		from.MustDo(c.migrate(to, fmt.Sprint(keys[0]))...)
	}
	if between != nil {
		between()
	}
	to.MustDo("CLUSTER", "SETSLOT", slot, "NODE", toID)
	from.MustDo("CLUSTER", "SETSLOT", slot, "NODE", toID)
	wait(c.t, "the slot has moved", func() (bool, any) {
		now, err := c.primary(key)
		return now == to, err
	})
}

func (c *Cluster) migrate(to *Server, key string) []string {
	command := []string{"MIGRATE", "127.0.0.1", strconv.Itoa(to.port), key, "0", "5000"}
	switch {
	case c.options.User != "":
		command = append(command, "AUTH2", admin, adminPassword)
	case c.options.Password != "":
		command = append(command, "AUTH", c.options.Password)
	}
	return command
}

func (c *Cluster) otherPrimary(than *Server) *Server {
	c.t.Helper()
	for _, s := range c.Servers {
		if s != than && strings.HasPrefix(fmt.Sprint(s.MustDo("ROLE")), "[master") {
			return s
		}
	}
	c.t.Fatal("the cluster has one primary alone")
	return nil
}
