package proxy

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// countedDeadlines counts how often each deadline is set.
type countedDeadlines struct {
	net.Conn
	reads, writes int
}

func (c *countedDeadlines) SetReadDeadline(t time.Time) error {
	c.reads++
	return c.Conn.SetReadDeadline(t)
}

func (c *countedDeadlines) SetWriteDeadline(t time.Time) error {
	c.writes++
	return c.Conn.SetWriteDeadline(t)
}

// wantEnd wants what began to have ended by a deadline after want, at most a tenth late.
func wantEnd(t *testing.T, what string, err error, began time.Time, want time.Duration) {
	t.Helper()
	if took := time.Since(began); !isTimeout(err) || took < want || took > want+want/10 {
		t.Errorf("%s: %v after %s, want a timeout after %s", what, err, took, want)
	}
}

// bubble runs f in a bubble of time of its own, with both ends of a connection.
func bubble(t *testing.T, f func(t *testing.T, side *countedDeadlines, peer net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		side, peer := net.Pipe()
		defer side.Close()
		defer peer.Close()
		f(t, &countedDeadlines{Conn: side}, peer)
	})
}

// each writes a byte to c after each pause.
func each(c net.Conn, pause time.Duration, times int) {
	for range times {
		time.Sleep(pause)
		c.Write([]byte("x"))
	}
}

// An app that goes quiet is cut off in its time, whatever deadline is in force from before.
func TestAppConn_DeadlinesEnd(t *testing.T) {
	f := func(name string, before time.Duration, wait time.Duration) {
		t.Helper()
		bubble(t, func(t *testing.T, side *countedDeadlines, peer net.Conn) {
			c, one := &appConn{Conn: side}, make([]byte, 1)
			go each(peer, before/20, 30)
			for range 30 {
				c.SetReadDeadline(time.Now().Add(before))
				if _, err := c.Read(one); err != nil {
					t.Fatalf("%s: an app that goes on is cut off: %v", name, err)
				}
			}
			began := time.Now()
			c.SetReadDeadline(began.Add(wait))
			_, err := c.Read(one)
			wantEnd(t, name, err, began, wait)
			began = time.Now()
			c.SetWriteDeadline(began.Add(wait))
			_, err = c.Write(one) // nobody reads
			wantEnd(t, name+", writing", err, began, wait)
		})
	}
	f("idle after calls", keepAlive, keepAlive)
	f("a head after an idle connection", keepAlive, headTimeout)
	f("an idle connection after a head", headTimeout, keepAlive)
	f("what is discarded after a head", headTimeout, discardTime)
}

// One drop of a head now and then does not move its deadline.
func TestAppConn_DripDoesNotHelp(t *testing.T) {
	bubble(t, func(t *testing.T, side *countedDeadlines, peer net.Conn) {
		c, one := &appConn{Conn: side}, make([]byte, 1)
		go each(peer, headTimeout/7, 6)
		began := time.Now()
		c.SetReadDeadline(began.Add(headTimeout))
		var err error
		for err == nil {
			_, err = c.Read(one)
		}
		wantEnd(t, "head", err, began, headTimeout)
	})
}

// Many calls in a second cost a timer or two, not some for each.
func TestDeadlines_AreSetSeldom(t *testing.T) {
	const calls = 1000
	bubble(t, func(t *testing.T, side *countedDeadlines, peer net.Conn) {
		c, one := &appConn{Conn: side}, make([]byte, 1)
		go func() {
			for range calls {
				time.Sleep(time.Millisecond)
				peer.Write(one)
				peer.Read(one)
			}
		}()
		for range calls {
			c.SetReadDeadline(time.Now().Add(keepAlive))
			_, err := c.Read(one)
			c.SetReadDeadline(time.Now().Add(headTimeout))
			c.SetWriteDeadline(time.Now().Add(idleTimeout))
			if _, err2 := c.Write(one); err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
		}
		if side.reads > 2 || side.writes > 2 {
			t.Errorf("app: %d and %d deadlines for %d calls in a second", side.reads, side.writes, calls)
		}
	})
	bubble(t, func(t *testing.T, side *countedDeadlines, _ net.Conn) {
		c := newConn(side, &host{}, time.Now, 0)
		for range calls {
			time.Sleep(time.Millisecond)
			if err := c.setHeadDeadline(time.Now(), DefaultTimeout); err != nil {
				t.Fatal(err)
			}
		}
		if side.reads > 3 || side.writes > 2 {
			t.Errorf("upstream: %d and %d deadlines for %d calls in a second", side.reads, side.writes, calls)
		}
	})
}

// WeChat has its whole time for each call, also on a connection whose earlier call began
// just before; the answer's time is exact, that for sending at most a tenth longer.
func TestConn_DeadlinesEnd(t *testing.T) {
	for _, timeout := range []time.Duration{DefaultTimeout, 1500 * time.Millisecond, 100 * time.Millisecond} {
		for part := range time.Duration(12) {
			bubble(t, func(t *testing.T, side *countedDeadlines, _ net.Conn) {
				c := newConn(side, &host{}, time.Now, 0)
				c.setHeadDeadline(time.Now(), timeout)
				time.Sleep(timeout * part / 10)
				began := time.Now()
				c.setHeadDeadline(began, timeout)
				_, err := c.Read(make([]byte, 1))
				if took := time.Since(began); !isTimeout(err) || took != timeout {
					t.Errorf("the answer: %v after %s, want a timeout after %s", err, took, timeout)
				}
				began = time.Now()
				c.setHeadDeadline(began, timeout)
				_, err = c.nc.Write(make([]byte, 1)) // nobody reads
				wantEnd(t, "sending", err, began, timeout)
			})
		}
	}
}

// The look at a kept connection, over TLS to a proxy, leaves the next call its deadline.
func TestConn_DeadlineAfterTheLook(t *testing.T) {
	config, roots := tlsIdentity(t)
	config.SessionTicketsDisabled = true
	bubble(t, func(t *testing.T, side *countedDeadlines, peer net.Conn) {
		client := tls.Client(side, &tls.Config{RootCAs: roots, ServerName: "example.com"})
		go tls.Server(peer, config).Handshake()
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		c := newConn(client, &host{}, time.Now, 0)
		c.setHeadDeadline(time.Now(), DefaultTimeout)
		if c.proxyTLS == nil || !c.usable() {
			t.Fatal("it is not quiet")
		}
		began := time.Now()
		c.setHeadDeadline(began, DefaultTimeout)
		defer time.AfterFunc(time.Hour, func() { peer.Close() }).Stop()
		_, err := c.Read(make([]byte, 1))
		if took := time.Since(began); !isTimeout(err) || took != DefaultTimeout {
			t.Errorf("%v after %s, want a timeout after %s", err, took, DefaultTimeout)
		}
	})
}

// A tunnel's deadlines hold at once: another goroutine ends its reads with one.
func TestAppConn_DeadlinesOfTunnels(t *testing.T) {
	bubble(t, func(t *testing.T, side *countedDeadlines, _ net.Conn) {
		c := &appConn{Conn: side}
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if err := c.setImmediate(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() {
			time.Sleep(time.Hour)
			c.SetReadDeadline(time.Now())
		}()
		if _, err := c.Read(make([]byte, 1)); !isTimeout(err) || time.Since(began) != time.Hour {
			t.Errorf("%v after %s, want a timeout after an hour", err, time.Since(began))
		}
	})
}

// Whoever ends a tunnel sets its deadlines beside the one who reads from it; the race detector
// watches.
func TestAppConn_TunnelIsEndedFromOutside(t *testing.T) {
	ours, _ := connPair(t, "tcp")
	c := newAppConn(ours, time.Now, false)
	if err := c.setImmediate(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		c.SetReadDeadline(time.Now().Add(time.Hour))
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	for {
		c.SetReadDeadline(time.Now())
		select {
		case err := <-ended:
			if !isTimeout(err) {
				t.Errorf("%v, want a timeout", err)
			}
			return
		default:
		}
	}
}
