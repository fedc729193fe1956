package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// changesKept is how many changes the stream keeps, about: more than come in between two reads of
// a sidecar that was away for minutes. What it misses, it compares.
const changesKept = "16384"

// readTogether is how many records one round trip of GetAll reads: enough for speed, few enough
// that a short read of somebody else is not held up behind them.
const readTogether = 250

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, name string) (store.Record, error) {
	answers, err := s.ask(ctx, s.readRecord(name))
	if err != nil {
		return store.Record{}, fmt.Errorf("get record %q: %w", name, err)
	}
	rec, ok, err := recordOf(answers[0])
	if err != nil {
		return store.Record{}, fmt.Errorf("get record %q: %w", name, err)
	}
	if !ok {
		return store.Record{}, fmt.Errorf("get record %q: %w", name, store.ErrNotFound)
	}
	return rec, nil
}

// GetAll implements [store.Store].
func (s *Store) GetAll(ctx context.Context, names []string) ([]store.Named, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("get %d records: %w", len(names), err)
	}
	var out []store.Named
	for piece := range slices.Chunk(names, readTogether) {
		commands := make([]rueidis.Completed, len(piece))
		for i, name := range piece {
			commands[i] = s.readRecord(name)
		}
		answers, err := s.ask(ctx, commands...)
		if err != nil {
			return nil, fmt.Errorf("get %d records: %w", len(names), err)
		}
		for i, answer := range answers {
			rec, ok, err := recordOf(answer)
			if err != nil {
				return nil, fmt.Errorf("get record %q: %w", piece[i], err)
			}
			if ok {
				out = append(out, store.Named{Name: piece[i], Record: rec})
			}
		}
	}
	return out, nil
}

func (s *Store) readRecord(name string) rueidis.Completed {
	return s.client.B().Hmget().Key(s.keys.record+name).Field("g", "f", "b").Build()
}

// recordOf reads generation, fence and content.
func recordOf(answer rueidis.RedisMessage) (rec store.Record, ok bool, err error) {
	fields, err := answer.ToArray()
	if err != nil {
		return store.Record{}, false, err
	}
	if len(fields) != 3 || fields[0].IsNil() {
		return store.Record{}, false, nil
	}
	return recordFrom(fields)
}

func recordFrom(fields []rueidis.RedisMessage) (store.Record, bool, error) {
	generation, errG := number(fields[0])
	fence, errF := number(fields[1])
	content, errB := fields[2].ToString()
	if err := errors.Join(errG, errF, errB); err != nil {
		return store.Record{}, false, fmt.Errorf("not a record of this store: %w", err)
	}
	return store.Record{Generation: generation, Fence: fence, Sealed: []byte(content)}, true, nil
}

func number(m rueidis.RedisMessage) (uint64, error) {
	text, err := m.ToString()
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(text, 10, 64)
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// Put implements [store.Store]. A Put whose answer was lost may be repeated as it is: the writes
// that are done already are taken for done.
func (s *Store) Put(ctx context.Context, writes ...store.Write) error {
	if err := store.CheckWrites(writes); err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	if err := ctx.Err(); err != nil || len(writes) == 0 {
		return err
	}
	keys := []string{s.keys.names, s.keys.changes}
	args := []string{s.writer, changesKept}
	for _, w := range writes {
		keep, version := "1", w.Record.Version()
		if w.Record.Sealed == nil {
			keep = "0"
		}
		keys = append(keys, s.keys.record+w.Name)
		args = append(args, w.Name, decimal(w.Base.Generation), decimal(w.Base.Revision),
			decimal(version.Generation), decimal(version.Revision), decimal(w.Record.Fence), keep, string(w.Record.Sealed))
	}
	answer, err := s.do(ctx, putScript, keys, args)
	if err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	said, err := answer.ToArray()
	if err != nil || len(said) != 2 {
		return fmt.Errorf("put records: %w", cmp.Or(err, errOddAnswer))
	}
	conflict, errConflict := said[0].AsInt64()
	entry, errEntry := said[1].ToString()
	if err := errors.Join(errConflict, errEntry); err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	if conflict > 0 && int(conflict) <= len(writes) {
		return fmt.Errorf("put records: %q: %w", writes[conflict-1].Name, store.ErrConflict)
	}
	s.entries.made(entry)
	return nil
}
