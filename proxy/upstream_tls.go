package proxy

import (
	"crypto/tls"
	"errors"
	"net"
)

// pausableConn is the connection below TLS; its reads can be paused. TLS reads ahead:
// what follows an answer in the same packet may lie in TLS's own buffer, where polling
// the socket does not see it.
type pausableConn struct {
	net.Conn
	paused bool
	one    [1]byte
	tally
}

// tally counts what TLS has read from the network and what was taken from TLS, so that most
// looks into its buffer can be left out.
type tally struct {
	raw      int // bytes that came
	taken    int // bytes of what was sent in them that were read
	records  int // reads that took some
	overhead int // bytes that each record has beside them, at least; 0 for not known
	unsure   bool
}

// start begins to count on a connection that has shaken hands. TLS may have read ahead in
// that, so the first look is not left out.
func (t *tally) start(c *tls.Conn) {
	*t = tally{overhead: recordOverhead(c.ConnectionState()), unsure: true}
}

// take counts a read of n bytes into room for space.
func (t *tally) take(n, space int) {
	if n == 0 {
		return
	}
	t.taken, t.records = t.taken+n, t.records+1
	// A read that fills its room may have left a part of its record for the next one, which
	// is then no record more.
	t.unsure = t.unsure || n == space
}

// allTaken reports whether TLS surely has buffered nothing. Each read has taken all of a
// record or more, and whatever else has come, such as a session ticket, an alert or a part
// of a record, makes raw larger than what these records need.
func (t *tally) allTaken() bool {
	return t.overhead > 0 && !t.unsure && t.raw == t.taken+t.records*t.overhead
}

// recordOverhead returns how many bytes a record has beside what is sent in it, without
// padding; 0 where that varies.
func recordOverhead(s tls.ConnectionState) int {
	const head, tag, nonce, kind = 5, 16, 8, 1
	switch {
	case s.Version == tls.VersionTLS13:
		return head + kind + tag
	case s.Version != tls.VersionTLS12:
		return 0
	}
	switch s.CipherSuite {
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return head + nonce + tag
	case tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return head + tag
	default:
		return 0
	}
}

// NetConn returns the connection below.
func (p *pausableConn) NetConn() net.Conn { return p.Conn }

// Read implements [net.Conn].
func (p *pausableConn) Read(b []byte) (int, error) {
	if p.paused {
		return 0, errReadsPaused
	}
	n, err := p.Conn.Read(b)
	p.raw += n
	return n, err
}

// noInput reports whether the TLS connection above p has buffered no data. It makes TLS
// process the session tickets that it has buffered.
func (p *pausableConn) noInput(above net.Conn) bool {
	p.paused = true
	n, err := above.Read(p.one[:])
	p.paused = false
	if n != 0 || !errors.Is(err, errReadsPaused) {
		return false
	}
	p.tally = tally{overhead: p.overhead} // what had come was dealt with
	return true
}

var errReadsPaused error = readsPausedError{}

// readsPausedError is temporary: after any other error TLS fails every later read.
type readsPausedError struct{}

func (readsPausedError) Error() string   { return "reads are paused" }
func (readsPausedError) Timeout() bool   { return true }
func (readsPausedError) Temporary() bool { return true }
