package redistest

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// MasterName is what Sentinels of [StartSentinel] call their primary.
const MasterName = "wxsidecar"

// Sentinel is one primary and two replicas that three Sentinels watch.
type Sentinel struct {
	t testing.TB
	// Servers are the three that hold data, Sentinels the others.
	Servers, Sentinels []*Server
	options            Options
	certs              *certificates
}

// StartSentinel starts one primary, two replicas and three Sentinels, which replace a primary
// that does not answer for a second. Options hold for those that hold data; TLS for all.
func StartSentinel(t testing.TB, o Options) *Sentinel {
	t.Helper()
	s := &Sentinel{t: t, options: o}
	if o.TLS {
		s.certs = makeCertificates(t)
	}
	for i := range 3 {
		if i > 0 {
			o.Config = append(s.options.Config[:len(s.options.Config):len(s.options.Config)], replicaOf(s.Servers[0]))
		}
		s.Servers = append(s.Servers, start(t, o, s.certs, nil))
	}
	s.awaitReplicas(s.Servers[0])
	for range 3 {
		s.Sentinels = append(s.Sentinels, s.startSentinel())
	}
	s.Await()
	return s
}

func replicaOf(primary *Server) string { return fmt.Sprintf("replicaof 127.0.0.1 %d", primary.port) }

func (s *Sentinel) startSentinel() *Server {
	s.t.Helper()
	lines := []string{
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", MasterName, s.Servers[0].port),
		"sentinel down-after-milliseconds " + MasterName + " 1000",
		"sentinel failover-timeout " + MasterName + " 2000",
		"sentinel parallel-syncs " + MasterName + " 2",
	}
	switch {
	case s.options.User != "":
		lines = append(lines, "sentinel auth-user "+MasterName+" "+admin, "sentinel auth-pass "+MasterName+" "+adminPassword)
	case s.options.Password != "":
		lines = append(lines, "sentinel auth-pass "+MasterName+" "+s.options.Password)
	}
	sentinel := start(s.t, Options{TLS: s.options.TLS, ClientCert: s.options.ClientCert}, s.certs, func(int) []string { return lines })
	// By default some of what it does comes each ten seconds.
	sentinel.MustDo("SENTINEL", "DEBUG", "INFO-PERIOD", "500", "PUBLISH-PERIOD", "200", "ASK-PERIOD", "100")
	return sentinel
}

// URL returns the store's URL of it.
func (s *Sentinel) URL() string {
	var addrs []string
	for _, x := range s.Sentinels {
		addrs = append(addrs, x.Addr())
	}
	u := url.URL{Scheme: "redis-sentinel", Host: strings.Join(addrs, ","), Path: "/" + MasterName, User: s.options.userinfo()}
	if s.options.TLS {
		q := s.certs.query(s.options.ClientCert)
		q.Set("tls", "true")
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// Primary returns the server that the Sentinels name. They agree after [Sentinel.Await].
func (s *Sentinel) Primary() *Server {
	s.t.Helper()
	p, err := s.primaryOf(s.Sentinels[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *Sentinel) primaryOf(sentinel *Server) (*Server, error) {
	answer, err := sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName)
	if err != nil {
		return nil, err
	}
	addr, ok := answer.([]any)
	if !ok || len(addr) != 2 {
		return nil, fmt.Errorf("a Sentinel names the primary as %v", answer)
	}
	port, err := strconv.Atoi(fmt.Sprint(addr[1]))
	if err != nil {
		return nil, err
	}
	for _, x := range s.Servers {
		if x.port == port {
			return x, nil
		}
	}
	return nil, fmt.Errorf("a Sentinel names %s, which is none of the servers", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// Await returns once all servers run as the Sentinels say: one primary, two replicas in step.
func (s *Sentinel) Await() {
	s.t.Helper()
	wait(s.t, "three Sentinels that agree on a primary with two replicas", func() (bool, any) {
		first, err := s.primaryOf(s.Sentinels[0])
		if err != nil {
			return false, err
		}
		for _, x := range s.Sentinels {
			if p, err := s.primaryOf(x); err != nil || p != first {
				return false, fmt.Sprintf("they do not agree: %v", err)
			}
			answer, err := x.Do("SENTINEL", "CKQUORUM", MasterName)
			if err != nil || !strings.HasPrefix(fmt.Sprint(answer), "OK 3 usable") {
				return false, fmt.Sprintf("%v, %v", answer, err)
			}
			text, err := x.Do("INFO", "sentinel")
			state := field(fmt.Sprint(text), "master0")
			if err != nil || !strings.Contains(state, "status=ok") || !strings.Contains(state, "slaves=2,sentinels=3") {
				return false, fmt.Sprintf("%v, %v", state, err)
			}
		}
		return inStep(first, 2)
	})
}

func (s *Sentinel) awaitReplicas(primary *Server) {
	s.t.Helper()
	wait(s.t, "two replicas in step", func() (bool, any) { return inStep(primary, 2) })
}

// inStep reports whether a primary has that many replicas, which have all that it has now.
func inStep(primary *Server, replicas int) (bool, any) {
	// WAIT is for what was written before the command that stands before it.
	got, err := primary.do([]string{"PING"}, []string{"WAIT", strconv.Itoa(replicas), "1000"})
	if err != nil || got != int64(replicas) {
		return false, fmt.Sprintf("%v replicas in step, %v", got, err)
	}
	role, err := primary.Do("ROLE")
	return err == nil && strings.HasPrefix(fmt.Sprint(role), "[master"), fmt.Sprintf("%v, %v", role, err)
}

// KillPrimary ends the primary as a crash does and returns it once all Sentinels name another.
// [Server.Restart] and [Sentinel.Await] make it one of the replicas.
func (s *Sentinel) KillPrimary() *Server {
	s.t.Helper()
	old := s.Primary()
	old.Kill()
	s.awaitOther(old)
	return old
}

func (s *Sentinel) awaitOther(old *Server) {
	s.t.Helper()
	wait(s.t, "the Sentinels name another primary", func() (bool, any) {
		for _, x := range s.Sentinels {
			p, err := s.primaryOf(x)
			if err != nil || p == old {
				return false, err
			}
			role, err := p.Do("ROLE")
			if err != nil || !strings.HasPrefix(fmt.Sprint(role), "[master") {
				return false, fmt.Sprintf("%v, %v", role, err)
			}
		}
		return true, nil
	})
}

// Failover kills the primary, waits for another, and makes the first one a replica.
func (s *Sentinel) Failover() {
	s.t.Helper()
	s.KillPrimary().Restart()
	s.Await()
}

// LoseWrites has what write writes to the primary reach no replica, kills the primary, and returns
// it once the Sentinels name another, which does not have those writes.
func (s *Sentinel) LoseWrites(write func()) *Server {
	s.t.Helper()
	primary := s.Primary()
	s.awaitReplicas(primary)
	for _, x := range s.Servers {
		if x != primary {
			x.MustDo("CONFIG", "SET", "masteruser", "nobody", "masterauth", "wrong")
		}
	}
	wait(s.t, "no replica is connected", func() (bool, any) {
		if _, err := primary.Do("CLIENT", "KILL", "TYPE", "replica"); err != nil {
			return false, err
		}
		return primary.Info("connected_slaves") == "0", nil
	})
	write()
	old := s.KillPrimary()
	user, password := "", s.options.Password
	if s.options.User != "" {
		user, password = admin, adminPassword
	}
	for _, x := range s.Servers {
		if x != primary {
			x.MustDo("CONFIG", "SET", "masteruser", user, "masterauth", password)
			x.MustDo("CONFIG", "REWRITE") // the Sentinels had it written meanwhile
		}
	}
	return old
}
