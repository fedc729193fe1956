package main

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// options are what the flags say.
type options struct {
	accounts, conns []int
	rounds          int
	length          time.Duration // of one measurement
	loads           []load
	peers           []peer
	binary          string // of the sidecar; empty: it is built
}

func parseOptions(args []string, messages io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("benchmark", flag.ContinueOnError)
	flags.SetOutput(messages)
	accounts := flags.String("accounts", "1,10000", "numbers of accounts, at most 100000 each")
	conns := flags.String("conns", "1,16,64,256", "numbers of connections, at most 1024 each; bodies of 10 MiB take at most 16")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; in each, every proxy takes every load once")
	flags.DurationVar(&o.length, "time", 200*time.Millisecond, "length of one measurement, 10ms to 10s")
	names := flags.String("loads", join(allLoads, func(l load) string { return l.name }), "loads")
	only := flags.String("only", join(allPeers, func(p peer) string { return p.name }), "proxies")
	flags.StringVar(&o.binary, "binary", "", "the sidecar to measure (default: the one of this source, which is built)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.rounds < 1 || o.rounds > 1000 || o.length < 10*time.Millisecond || o.length > 10*time.Second {
		return o, fmt.Errorf("-rounds %d -time %s: want 1 to 1000 rounds, and 10ms to 10s", o.rounds, o.length)
	}
	if o.accounts, err = parseNumbers("accounts", *accounts, 100_000); err != nil {
		return o, err
	}
	if o.conns, err = parseNumbers("conns", *conns, 1024); err != nil {
		return o, err
	}
	if o.loads, err = choose("loads", *names, allLoads, func(l load) string { return l.name }); err != nil {
		return o, err
	}
	if len(plan(o, 0)) == 0 {
		return o, fmt.Errorf("-loads %s -conns %s: nothing is left to measure: bodies of 10 MiB take at most %d connections", *names, *conns, mostBig)
	}
	o.peers, err = choose("only", *only, allPeers, func(p peer) string { return p.name })
	return o, err
}

func parseNumbers(name, text string, most int) ([]int, error) {
	var numbers []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("-%s %q: want numbers from 1 to %d with commas between them", name, text, most)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// choose returns those of all that text names, in the order of all.
func choose[T any](name, text string, all []T, nameOf func(T) string) ([]T, error) {
	wanted := map[string]bool{}
	for word := range strings.SplitSeq(text, ",") {
		wanted[word] = true
	}
	var chosen []T
	for _, one := range all {
		if wanted[nameOf(one)] {
			chosen = append(chosen, one)
			delete(wanted, nameOf(one))
		}
	}
	for word := range wanted {
		return nil, fmt.Errorf("-%s %q: must be of %s", name, word, join(all, nameOf))
	}
	return chosen, nil
}

func join[T any](all []T, nameOf func(T) string) string {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = nameOf(one)
	}
	return strings.Join(names, ",")
}
