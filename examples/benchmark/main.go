// Command benchmark compares the sidecar with other proxies that put a token into
// a query: nginx, HAProxy, and net/http's ReverseProxy. See README.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	appID = "wx00000000000000aa"
	// token is as long as WeChat's are.
	token = "99_benchmark_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789abcdefg"
)

// The loads, each with wrk.
var loads = []load{
	{name: "GET, 64 connections", connections: 64},
	{name: "POST 1 KiB, 64 connections", connections: 64, script: "post.lua"},
	{name: "GET, 1 connection", connections: 1},
	{name: "GET, 16 connections", connections: 16},
	{name: "GET, 256 connections", connections: 256},
	{name: "uploads of 10 MiB, 8 connections", connections: 8, script: "upload.lua"},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("benchmark", flag.ContinueOnError)
	rounds := flags.Int("rounds", 10, "rounds; in each, every proxy takes every load once")
	length := flags.Duration("time", 2*time.Second, "length of one load")
	only := flags.String("load", "", "only the loads whose name has this")
	reverse := flags.String("reverseproxy", "", "internal: serve net/http's ReverseProxy at that address")
	upstream := flags.String("upstream", "", "internal: its upstream")
	roots := flags.String("roots", "", "internal: the file with the upstream's certificate")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *reverse != "" {
		return serveReverseProxy(*reverse, *upstream, *roots)
	}
	if *rounds < 1 || *length < time.Second {
		return errors.New("-rounds must be 1 or more, -time a second or more")
	}
	dir, err := os.MkdirTemp("", "wxsidecar-benchmark-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := startAll(dir)
	defer s.stop()
	if err != nil {
		return err
	}
	return compare(s, chosen(*only), *rounds, *length)
}

// chosen returns the loads whose name has text.
func chosen(text string) (some []load) {
	for _, l := range loads {
		if strings.Contains(l.name, text) {
			some = append(some, l)
		}
	}
	return some
}

// compare lets the contenders take turns, so that what else the machine does
// meets all of them alike.
func compare(s *stage, loads []load, rounds int, length time.Duration) error {
	results := map[string]map[string]*series{}
	for _, l := range loads {
		results[l.name] = map[string]*series{}
	}
	for round := range rounds {
		for _, l := range loads {
			for i := range s.contenders {
				// Who comes first in one round comes later in the next.
				c := s.contenders[(i+round)%len(s.contenders)]
				one, err := measure(s, c, l, length)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, l.name, err)
				}
				if results[l.name][c.name] == nil {
					results[l.name][c.name] = &series{}
				}
				results[l.name][c.name].add(one)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, rounds)
	}
	for _, l := range loads {
		printTable(os.Stdout, l.name, s.contenders, results[l.name])
	}
	return nil
}

// target is what wrk calls.
func target(address, scheme string) string {
	u := url.URL{Scheme: scheme, Host: address, Path: "/cgi-bin/message/custom/send", RawQuery: "lang=zh_CN"}
	return u.String()
}
