package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"
)

// tlsOf returns the sidecar's end of a TLS connection that has shaken hands, and the
// server's, whose records gather in packet.
func tlsOf(t *testing.T, version, suite uint16) (c *conn, server *tls.Conn, packet *onePacket) {
	t.Helper()
	config, roots := tlsIdentity(t)
	ours, theirs := connPair(t, "tcp")
	packet = &onePacket{}
	held := &shakingConn{Conn: theirs, later: packet}
	server = tls.Server(held, config)
	config.SessionTicketsDisabled = true
	client := tls.Client(&pausableConn{Conn: ours}, &tls.Config{
		RootCAs: roots, ServerName: "example.com", MinVersion: version, MaxVersion: version, CipherSuites: []uint16{suite},
	})
	failed := make(chan error, 1)
	go func() { failed <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	packet.Conn = theirs
	c = newConn(client, &host{}, time.Now, 0)
	c.streaming, c.idle = true, time.Minute
	return c, server, packet
}

// What each version and suite adds to a record is known exactly, so that the look into
// TLS's buffer is left out where only an answer came, and never where anything else did.
func TestTally_MissesNothing(t *testing.T) {
	f := func(version, suite uint16, name string, rest func(*tls.Conn, *onePacket), room int, want bool) {
		t.Helper()
		c, server, packet := tlsOf(t, version, suite)
		for i := range 3 { // earlier answers leave nothing behind
			io.WriteString(server, "an answer")
			packet.send(t)
			if n, err := c.Read(make([]byte, 64)); n != 9 || err != nil || c.pausable.allTaken() != (i > 0) || !c.usable() {
				t.Fatalf("%s: answer %d: %d bytes, %v, all taken %v", tls.CipherSuiteName(suite), i, n, err, c.pausable.allTaken())
			}
		}
		server.Write(make([]byte, 100))
		rest(server, packet)
		packet.send(t)
		for left := 100; left > 0; {
			n, err := c.Read(make([]byte, room))
			if n == 0 {
				t.Fatal(err)
			}
			left -= n
		}
		if got := c.pausable.allTaken(); got != want {
			t.Errorf("%s, an answer and %s, read by %d: all taken %v, want %v", tls.CipherSuiteName(suite), name, room, got, want)
		}
	}
	for suite, version := range map[uint16]uint16{
		tls.TLS_AES_128_GCM_SHA256:                      tls.VersionTLS13,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:       tls.VersionTLS12,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:       tls.VersionTLS12,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: tls.VersionTLS12,
	} {
		f(version, suite, "no more", func(*tls.Conn, *onePacket) {}, 4096, true)
		f(version, suite, "an alert", func(s *tls.Conn, _ *onePacket) { s.CloseWrite() }, 4096, false)
		for n := range 40 {
			f(version, suite, fmt.Sprintf("one more of %d bytes", n+1), func(s *tls.Conn, _ *onePacket) { s.Write(make([]byte, n+1)) }, 4096, false)
			f(version, suite, fmt.Sprintf("%d bytes of one more", n+1), func(s *tls.Conn, p *onePacket) {
				whole := p.held.Len()
				s.Write(make([]byte, 40))
				p.held.Truncate(whole + n + 1)
			}, 4096, false)
		}
		// A record that is read in parts is one record, and looks like several.
		for _, room := range []int{100, 60, 50, 25, 1} {
			f(version, suite, "no more", func(*tls.Conn, *onePacket) {}, room, false)
			f(version, suite, "bytes", func(_ *tls.Conn, p *onePacket) { p.held.Write(make([]byte, 22)) }, room, false)
			f(version, suite, "bytes", func(_ *tls.Conn, p *onePacket) { p.held.Write(make([]byte, 29)) }, room, false)
		}
	}
}

// Where a record's size varies, every look goes into the buffer.
func TestTally_UnknownSuites(t *testing.T) {
	for _, s := range []tls.ConnectionState{
		{},
		{Version: tls.VersionTLS12},
		{Version: tls.VersionTLS12, CipherSuite: tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA},
		{Version: tls.VersionTLS11, CipherSuite: tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	} {
		if n := recordOverhead(s); n != 0 {
			t.Errorf("%x, %x: %d", s.Version, s.CipherSuite, n)
		}
		if (&tally{overhead: recordOverhead(s)}).allTaken() {
			t.Errorf("%x: all taken", s.CipherSuite)
		}
	}
}

// restingTLS returns a connection that has carried a call and is looked at for the next.
func restingTLS(tb testing.TB) *conn {
	config, roots := tlsIdentity(tb)
	ours, theirs := connPair(tb, "tcp")
	server := tls.Server(theirs, config)
	client := tls.Client(&pausableConn{Conn: ours}, &tls.Config{RootCAs: roots, ServerName: "example.com"})
	go io.Copy(server, server)
	if err := client.Handshake(); err != nil {
		tb.Fatal(err)
	}
	c := newConn(client, &host{}, time.Now, 0)
	io.WriteString(client, "a")
	if _, err := c.Read(make([]byte, 64)); err != nil || !c.usable() {
		tb.Fatal(err)
	}
	return c
}

// The look into the buffer of TLS allocates nothing.
func TestConn_UsableAllocationsOverTLS(t *testing.T) {
	c := restingTLS(t)
	if n := testing.AllocsPerRun(100, func() { c.nothingBuffered() }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUsable(b *testing.B) {
	c := restingTLS(b)
	b.ResetTimer()
	for range b.N {
		if !c.usable() {
			b.Fatal("not quiet")
		}
	}
}
