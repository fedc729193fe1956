package boltstore

import (
	"context"
	"fmt"
	"time"
)

const (
	sweepPage  = 256
	sweepPause = 5 * time.Millisecond
)

// sweepAll reads every record once and opens its seal, for a file that was too
// large for that at the start. It goes in small pieces, since a long transaction
// would keep bbolt from reusing pages. The first damage ends the handle, and with
// it the sweep: opening the file again repairs all of it.
func (s *Store) sweepAll(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	after := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		next, err := s.sweepSome(ctx, after)
		if err != nil && ctx.Err() == nil {
			_, err = s.live() // repairs at once rather than at somebody's next use
		}
		if err != nil || next == "" {
			return
		}
		after = next
		pause.Reset(sweepPause)
	}
}

// sweepSome checks the records after that name and returns the last one's, "" when
// there are no more.
func (s *Store) sweepSome(ctx context.Context, after string) (string, error) {
	h := s.cur.Load()
	page, err := s.List(ctx, "", after, sweepPage)
	if err != nil {
		return "", err
	}
	for _, n := range page {
		err := s.o.Check(n.Name, n.Record)
		if err != nil && damaged(n.Name, n.Record, err) {
			h.kill(fmt.Errorf("a record is damaged: %w", err))
			return "", err
		}
	}
	if len(page) < sweepPage {
		return "", nil
	}
	return page[len(page)-1].Name, nil
}
