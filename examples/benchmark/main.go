// Command benchmark compares the sidecar with other proxies that put a token into
// a query: nginx, nginx with Lua, HAProxy, and net/http's ReverseProxy. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == reverseProxyVerb {
		fail(serveReverseProxy(os.Args[2], os.Args[3], os.Args[4]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if ctx.Err() != nil {
		err = errors.New("interrupted; what was started has been ended")
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "benchmark:", err)
	os.Exit(1)
}

// run prints the report to out and its progress to progress. When ctx ends it stops
// what it has started, and removes its files.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parseOptions(args, progress)
	if err != nil {
		return err
	}
	peers, missing := available(o.peers)
	for _, m := range missing {
		fmt.Fprintln(out, m)
	}
	if len(peers) == 0 {
		return errors.New("none of -only can run here: install what is missing, or name others")
	}
	dir, err := os.MkdirTemp("", "wxsidecar-benchmark-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := newStage(dir, o)
	defer s.stop()
	if err == nil {
		err = s.startAll(ctx, peers, o.accounts)
	}
	if err != nil {
		return err
	}
	r, err := compare(ctx, s.contenders, o, progress)
	if err != nil {
		return err
	}
	r.print(out, s.upstreamTitle)
	return nil
}
