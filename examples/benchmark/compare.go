package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// trial is a load on a number of connections, and what came of it.
type trial struct {
	load  load
	conns int
	// samples are by contender and round; a contender that does not take part has none.
	samples [][]sample
}

// mostBig is how many bodies of 10 MiB are on their way at once: more would measure
// the machine's memory.
const mostBig = 16

func plan(o options, contenders int) []trial {
	var trials []trial
	for _, l := range o.loads {
		for _, conns := range o.conns {
			if !l.big() || conns <= mostBig {
				trials = append(trials, trial{l, conns, make([][]sample, contenders)})
			}
		}
	}
	return trials
}

// takes reports whether a contender takes part. The number of accounts does not matter
// to large bodies.
func (t trial) takes(c contender, accounts []int) bool {
	return !t.load.big() || c.accounts == accounts[0]
}

// compare lets the contenders take turns, so that what else the machine does meets all
// of them alike.
func compare(ctx context.Context, contenders []contender, o options, progress io.Writer) (report, error) {
	r := report{options: o, contenders: contenders, trials: plan(o, len(contenders))}
	began := time.Now()
	for round := range o.rounds {
		for _, t := range r.trials {
			for i := range contenders {
				// Who comes first in one round comes later in the next.
				who := (i + round) % len(contenders)
				c := contenders[who]
				if !t.takes(c, o.accounts) {
					continue
				}
				one, err := measure(ctx, &c, t.load, t.conns, o.length)
				if err = errors.Join(ctx.Err(), err); err != nil {
					return r, fmt.Errorf("%s, %s, %d accounts, %d connections: %w", c.title, t.load.title, c.accounts, t.conns, err)
				}
				t.samples[who] = append(t.samples[who], one)
			}
		}
		fmt.Fprintf(progress, "round %d of %d, %s\n", round+1, o.rounds, time.Since(began).Round(time.Second))
	}
	return r, nil
}
