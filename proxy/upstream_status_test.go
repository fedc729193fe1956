package proxy

import "testing"

// When a host is tried again is told by WeChat's time, as all else that people are shown is; the
// clock for deadlines may be another.
func TestServer_HostsByWeChatsTime(t *testing.T) {
	src := platform()
	s, _ := fakeServer(t, Options{Source: src})
	for range hostFailures {
		s.upstream.hosts[0].failed(s.now())
	}
	all := s.Hosts()
	if left := all[0].OutUntil.Sub(src.Now()); all[0].Failures != hostFailures || left <= 0 || left > hostOut {
		t.Errorf("%+v: out for %s of %s", all[0], left, hostOut)
	}
	s.upstream.hosts[0].succeeded()
	if until := s.Hosts()[0].OutUntil; !until.IsZero() {
		t.Errorf("out until %s after a success", until)
	}
}
