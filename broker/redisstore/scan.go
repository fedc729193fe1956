package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redisurl"
	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// ScanOptions are what [Scan] needs. All but MaxKeys must be set.
type ScanOptions struct {
	// URL is as package redisurl has it; its prefix counts for nothing.
	URL secret.Text
	// Patterns are what keys are found by, as Redis's SCAN takes them.
	Patterns []string
	// MaxBytes is how much of a value is read.
	MaxBytes int
	// MaxKeys ends the reading with [ErrTooManyKeys]; 0 for no limit.
	MaxKeys int
}

// Scanned is a key of somebody else's with its value.
type Scanned struct {
	Key string
	// Value is at most MaxBytes and one more, which tells that there is more.
	Value []byte
	// Left is how long it lives on; 0 for always.
	Left time.Duration
	// NoText says that the key holds something else than a string.
	NoText bool
}

// ErrTooManyKeys says that more keys were found than are wanted.
var ErrTooManyKeys = errors.New("more keys match than are wanted: is it the right Redis?")

// scanWithin bounds each request: it is for people who wait, and the server may be busy.
const scanWithin = 10 * time.Second

// scanCount is how many keys a SCAN looks at, and how many values one request reads.
const scanCount = 500

// Scan calls f with each key in the Redis of an app that matches one of the patterns. It changes
// nothing there: beside what makes a connection, it sends SCAN, GETRANGE and PTTL alone, with more
// than one server also ROLE, and any Redis since 2.8 will do. A key that was changed meanwhile may
// be met twice. f owns the value.
func Scan(ctx context.Context, o ScanOptions, f func(Scanned)) error {
	target, err := redisurl.Parse(o.URL.Reveal())
	if err != nil {
		return err
	}
	option, err := clientOption(target)
	if err != nil {
		return err
	}
	option.DisableCache, option.AlwaysRESP2 = true, true // older ones than 6 have nothing else
	client, err := newClient(option)
	if err != nil {
		return startError(target, err, scanRights(target.Kind))
	}
	defer client.Close()
	nodes := map[string]rueidis.Client{"": client}
	if target.Kind == redisurl.Cluster {
		nodes = client.Nodes()
	}
	s := scan{ScanOptions: o, f: f}
	for address, node := range nodes {
		if err := s.node(ctx, node, target.Kind == redisurl.Cluster); err != nil {
			if address != "" {
				address = ", node " + address
			}
			return fmt.Errorf("%s%s: %w", target, address, hint(err, scanRights(target.Kind)))
		}
	}
	return nil
}

type scan struct {
	ScanOptions
	f    func(Scanned)
	seen int
}

// node scans one server. The replicas of a Cluster have what their primary has.
func (s *scan) node(ctx context.Context, node rueidis.Client, ofCluster bool) error {
	if ofCluster {
		role, err := node.Do(ctx, node.B().Role().Build()).ToArray()
		if err != nil {
			return err
		}
		if name, _ := role[0].ToString(); name != "master" {
			return nil
		}
	}
	for _, pattern := range s.Patterns {
		for cursor := uint64(0); ; {
			next, err := s.page(ctx, node, pattern, cursor)
			if err != nil {
				return err
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
	}
	return nil
}

// page reads a page of keys and their values, and returns where the next begins; 0 for none.
func (s *scan) page(ctx context.Context, node rueidis.Client, pattern string, cursor uint64) (next uint64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, scanWithin, fmt.Errorf("no answer within %s", scanWithin))
	defer cancel()
	page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(pattern).Count(scanCount).Build()).AsScanEntry()
	if err == nil {
		err = s.values(ctx, node, page.Elements)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return page.Cursor, err
}

// values reads the values of a page of keys.
func (s *scan) values(ctx context.Context, node rueidis.Client, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if s.seen += len(names); s.MaxKeys > 0 && s.seen > s.MaxKeys {
		return ErrTooManyKeys
	}
	commands := make(rueidis.Commands, 0, 2*len(names))
	for _, name := range names {
		commands = append(commands, node.B().Getrange().Key(name).Start(0).End(int64(s.MaxBytes)).Build(), node.B().Pttl().Key(name).Build())
	}
	answers := node.DoMulti(ctx, commands...)
	for i, name := range names {
		found := Scanned{Key: name}
		value, err := answers[2*i].AsBytes()
		if answer, ok := rueidis.IsRedisErr(err); ok && word(answer) == "WRONGTYPE" {
			found.NoText, err = true, nil
		}
		if err != nil {
			return err
		}
		left, err := answers[2*i+1].AsInt64()
		if err != nil {
			return err
		}
		const gone = -2
		if left == gone {
			continue
		}
		found.Value, found.Left = value, max(0, time.Duration(left)*time.Millisecond)
		s.f(found)
	}
	return nil
}

// scanRights says what the user of a [Scan] needs.
func scanRights(kind redisurl.Kind) string {
	needs := "it needs SCAN, GETRANGE and PTTL on all keys"
	switch kind {
	case redisurl.Sentinel:
		needs += ", and ROLE"
	case redisurl.Cluster:
		needs += ", and ROLE, CLUSTER SLOTS and CLUSTER SHARDS"
	case redisurl.Single:
	}
	return needs
}
