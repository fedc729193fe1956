// Command quickstart shows what wxsidecar does, on this machine alone and without
// an account at WeChat: it starts a simulated WeChat and the real sidecar, which it
// builds from the module that it lies in, lets WeChat push a ticket, makes a few
// calls as an app would, prints beside each what WeChat received, lets a merchant
// authorise, and a user write to it.
//
//	go run ./examples/quickstart          stays until Ctrl-C, to be played with
//	go run ./examples/quickstart -once    ends after the tour
//
// It listens on loopback addresses only, keeps its files in a temporary folder and
// leaves nothing behind. The exit code is 0, 1 if anything was not as it should be,
// or 2 for a wrong flag.
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
	"time"
)

// tourTimeout bounds the tour; building and staying are not part of it.
const tourTimeout = time.Minute

// options are what the flags say.
type options struct {
	// once ends the program after the tour.
	once bool
	// binary is a sidecar to use; empty means to build one.
	binary string
}

func main() {
	// A closed terminal sends SIGHUP; the child must not outlive it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // the flag package has said why
	}
	if err := quickstart(ctx, o, stdout); err != nil {
		fmt.Fprintln(stderr, "quickstart:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.once, "once", false, "end after the tour instead of staying until Ctrl-C")
	flags.StringVar(&o.binary, "sidecar", "", "path of a wxsidecar to use; without it one is built")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", flags.Arg(0))
		fmt.Fprintln(stderr, "quickstart:", err)
		return o, err
	}
	return o, nil
}

// quickstart builds, starts, shows and stops. Ending ctx while it stays is the
// ordinary end; before that it is an error.
func quickstart(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "wxsidecar-quickstart-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	p := printer{out}
	p.text("wxsidecar stands between an app and WeChat's API: the app calls it without any token,")
	p.text("and it adds the right one. Here it runs against a simulated WeChat, on this machine only.")
	if o.binary == "" {
		p.text("\nBuilding the sidecar; the first time takes a minute or two ...")
		if o.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	w := newWorld()
	defer w.wechat.Close()
	a, err := startApp()
	if err != nil {
		return err
	}
	defer a.stop()
	s, err := startSidecar(ctx, o.binary, dir, w, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	if err := newTour(p, w, s, a).show(ctx); err != nil {
		return fmt.Errorf("%w\nthe last lines of the sidecar's log:\n%s", err, s.log.tail())
	}
	p.farewell(w, s, o.once)
	if o.once {
		return nil
	}
	return stay(ctx, w, s)
}

// stay keeps WeChat pushing until ctx ends or the sidecar does, which is an error.
func stay(ctx context.Context, w *world, s *sidecar) error {
	ctx, cancel := context.WithCancel(ctx)
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		w.wechat.RunPushes(ctx)
	}()
	defer func() { cancel(); <-pushed }()
	select {
	case <-ctx.Done():
		return nil
	case <-s.ended:
		return s.failure()
	}
}
