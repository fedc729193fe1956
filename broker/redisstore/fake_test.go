package redisstore_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fake answers as servers do that are not at hand: old ones, and those that lack something.
func fake(t *testing.T, answer func(command []string) string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { converse(c, answer) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// converse ends when the client does.
func converse(c net.Conn, answer func([]string) string) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, answer(command)); err != nil {
			return
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readNumber(r)
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		length, err := readNumber(r)
		if err != nil {
			return nil, err
		}
		text := make([]byte, length+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:length])
	}
	return command, nil
}

func readNumber(r *bufio.Reader) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil || len(line) < 2 {
		return 0, io.ErrUnexpectedEOF
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// greeting is the answer to HELLO.
func greeting(fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%%%d\r\n", len(fields)/2+1)
	for _, text := range fields {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(text), text)
	}
	return b.String() + "$5\r\nproto\r\n:3\r\n"
}

func TestOpen_OldServers(t *testing.T) {
	version := func(v string) func([]string) string {
		return func(command []string) string {
			if command[0] == "HELLO" {
				return greeting("server", "redis", "version", v, "mode", "standalone", "role", "master")
			}
			return "+OK\r\n"
		}
	}
	for _, v := range []string{"6.0.16", "6.1.240", "5.0.14"} {
		refuses(t, "redis://"+fake(t, version(v)), "the server has version "+v+"; Redis 6.2 or later, or Valkey, is needed")
	}
	lacks := func(name string) func([]string) string {
		return func(command []string) string {
			if command[0] == name {
				return "-ERR unknown command '" + name + "'\r\n"
			}
			return version("7.4.0")(command)
		}
	}
	refuses(t, "redis://"+fake(t, lacks("HELLO")), "the server does not offer RESP3 with client tracking; Redis 6.2 or later, or Valkey, is needed")
	refuses(t, "redis://"+fake(t, lacks("CLIENT")), "the server does not offer RESP3 with client tracking; Redis 6.2 or later, or Valkey, is needed: unknown command 'CLIENT'")
}

// A server that answers what it never should is told so, in words that can be read.
func TestOpen_OddAnswers(t *testing.T) {
	odd := func(command []string) string {
		switch command[0] {
		case "HELLO":
			return greeting("server", "redis", "version", "7.0.0", "mode", "standalone", "role", "master")
		case "EVALSHA":
			return "*0\r\n"
		}
		return "+OK\r\n"
	}
	if why := refuses(t, "redis://"+fake(t, odd), "the store does not tell its id"); strings.Contains(why, "%!") {
		t.Errorf("the error has what fmt could not print: %s", why)
	}
}

// A server that accepts and says nothing does not hold up the start for long: the test would not
// end.
func TestOpen_SilentServer(t *testing.T) {
	t.Parallel()
	silent := fake(t, func([]string) string { return "" })
	refuses(t, "redis://"+silent, "cannot connect")
	refuses(t, "redis-sentinel://"+silent+"/m", "cannot connect")
	refuses(t, "redis-cluster://"+silent, "cannot connect")
}
