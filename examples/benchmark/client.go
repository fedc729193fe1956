package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"
)

// client is one connection to a contender. It has one call on its way at a time.
type client struct {
	to   *contender
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	stop func() bool
}

// callTimeout is for one call, and far more than any takes: a proxy that hangs makes
// the comparison end.
const callTimeout = 60 * time.Second

func dial(ctx context.Context, to *contender) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.address)
	if err != nil {
		return nil, err
	}
	if to.roots != nil {
		conn = tls.Client(conn, &tls.Config{RootCAs: to.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	}
	// A call that nobody answers must not outlive ctx either.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &client{to: to, conn: conn, in: bufio.NewReaderSize(conn, 32<<10), stop: stop}, nil
}

func (c *client) close() {
	c.stop()
	_ = c.conn.Close()
}

// call makes one call and returns how long it took. Any answer but the upstream's own
// is an error.
func (c *client) call(l load, account int) (time.Duration, error) {
	began := time.Now()
	err := c.conn.SetDeadline(began.Add(callTimeout))
	if err == nil {
		err = c.send(l, account)
	}
	if err == nil {
		err = c.receive(l)
	}
	return time.Since(began), err
}

var payload = bytes.Repeat([]byte{'x'}, bigBody)

func (c *client) send(l load, account int) error {
	c.out = c.to.appendHead(c.out[:0], l, account)
	body := payload[:l.sent]
	if len(body) <= 4<<10 {
		c.out, body = append(c.out, body...), nil
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	_, err := c.conn.Write(body)
	return err
}

// receive reads an answer whose head has a Content-Length, as the upstream's have.
func (c *client) receive(l load) error {
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", status)
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		name, value, found := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if !found {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length != l.received {
		return fmt.Errorf("an answer of %d bytes, not of %d", length, l.received)
	}
	_, err = c.in.Discard(length)
	return err
}
