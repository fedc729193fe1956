package redisstore

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// List implements [store.Store]. A page is one moment's state, unless its slot moves to another
// node of a Cluster meanwhile.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]store.Named, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list records %q: %w", prefix, err)
	}
	from := "[" + prefix
	if after != "" && after >= prefix {
		from = "(" + after
	}
	var page []store.Named
	for len(page) < limit {
		want := limit - len(page)
		names, records, err := s.listFrom(ctx, from, prefixEnd(prefix), want)
		if err != nil {
			return nil, fmt.Errorf("list records %q: %w", prefix, err)
		}
		page = append(page, records...)
		if len(names) < want {
			break
		}
		from = "(" + names[len(names)-1]
	}
	return page, nil
}

// listFrom returns the names of one page and their records, which may be fewer: a name may stand
// there without one where Redis evicts keys.
func (s *Store) listFrom(ctx context.Context, from, to string, limit int) (names []string, records []store.Named, err error) {
	answer, err := s.do(ctx, listScript, []string{s.keys.names}, []string{s.keys.record, from, to, strconv.Itoa(limit)})
	if err != nil {
		return nil, nil, err
	}
	fields, err := answer.ToArray()
	if err != nil {
		return nil, nil, err
	}
	var elsewhere []string
	for entry := range slices.Chunk(fields, 4) {
		name, rec, ok, err := listed(entry)
		if err != nil {
			return nil, nil, err
		}
		names = append(names, name)
		if ok {
			records = append(records, store.Named{Name: name, Record: rec})
		} else {
			elsewhere = append(elsewhere, name)
		}
	}
	if len(elsewhere) > 0 {
		moved, err := s.GetAll(ctx, elsewhere)
		if err != nil {
			return nil, nil, err
		}
		records = append(records, moved...)
		sort.Slice(records, func(i, j int) bool { return records[i].Name < records[j].Name })
	}
	return names, records, nil
}

// listed reads one entry of listScript's answer. It is not ok without a record.
func listed(entry []rueidis.RedisMessage) (name string, rec store.Record, ok bool, err error) {
	if name, err = entry[0].ToString(); err != nil {
		return "", store.Record{}, false, err
	}
	if generation, err := entry[1].ToString(); err != nil || generation == "" {
		return name, store.Record{}, false, err
	}
	if rec, ok, err = recordFrom(entry[1:]); err != nil {
		return "", store.Record{}, false, fmt.Errorf("%q: %w", name, err)
	}
	return name, rec, ok, nil
}

// prefixEnd is what ZRANGEBYLEX takes as the end of the names that begin with prefix: the first
// text behind all of them. There is none behind those that begin with 0xff alone.
func prefixEnd(prefix string) string {
	end := []byte(prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) == 0 {
		return "+"
	}
	end[len(end)-1]++
	return "(" + string(end)
}
