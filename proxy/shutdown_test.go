package proxy

import (
	"net"
	"testing"
)

func TestServer_StoppedBeforeServe(t *testing.T) {
	s, err := New(Options{Source: platform()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil { // which returns
		t.Error(err)
	}
}
