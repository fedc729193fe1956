package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	// readEvery is how often the stream is read though nothing was pushed.
	readEvery = 15 * time.Second
	// readGap is between two reads: a burst of changes is read in one go.
	readGap = 50 * time.Millisecond
	// retryEvery is how often a store that does not answer is tried again.
	retryEvery = 500 * time.Millisecond
	// changesTogether is how many changes are read at once.
	changesTogether = 1000
)

// Watch implements [store.Shared].
func (s *Store) Watch(ctx context.Context, tell func(store.News)) {
	w := &watch{store: s, tell: tell, identity: s.identity}
	for ctx.Err() == nil {
		more, err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.report(err)
		switch {
		case err != nil:
			pause(ctx, retryEvery)
		case !more:
			pause(ctx, readGap)
			s.pushed.wait(ctx)
		}
	}
}

// pushes are signals that the stream is to be read: it has changed, or a connection broke that
// might have said so. Several are one.
type pushes chan struct{}

// invalidated is rueidis's OnInvalidations, which must not wait.
func (p pushes) invalidated([]rueidis.RedisMessage) {
	select {
	case p <- struct{}{}:
	default:
	}
}

// wait returns when something was pushed, or after readEvery.
func (p pushes) wait(ctx context.Context) {
	t := time.NewTimer(readEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-p:
	case <-t.C:
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// watch is what Watch knows between two looks at the stream.
type watch struct {
	store    *Store
	tell     func(store.News)
	identity string
	last     string // the entry read last; "" where reading has to begin anew
	outage   string // the cause that was told last; "" while the store answers
}

// look tells what is new. It reports whether there may be more at once.
func (w *watch) look(ctx context.Context) (more bool, err error) {
	if w.last != "" {
		expected := w.store.entries.all()
		entries, ok, err := w.read(ctx)
		if err != nil {
			return false, err
		}
		if ok {
			w.take(entries)
			if more = len(entries) == changesTogether; more || !w.store.entries.lost(expected) {
				return more, nil
			}
		}
	}
	// The place to go on from is taken before all is compared: what changes meanwhile is news.
	id, last, err := w.store.identify(ctx)
	if err != nil {
		return false, err
	}
	emptied := id != w.identity
	w.identity, w.last, w.outage = id, last, ""
	w.store.entries.begin(last)
	w.tell(store.News{Missed: true, Emptied: emptied})
	return false, nil
}

// report tells of an outage once, and again where its cause changes. What follows an outage is
// compared: begin anew.
func (w *watch) report(err error) {
	if err == nil {
		return
	}
	w.last = ""
	if cause := causeOf(err); cause != w.outage {
		w.outage = cause
		w.tell(store.News{Err: err})
	}
}

// identify returns the store's id and the last entry of its stream, and makes them where there
// are none.
func (s *Store) identify(ctx context.Context) (id, last string, err error) {
	answer, err := s.do(ctx, identifyScript, []string{s.keys.id, s.keys.changes}, []string{random(16), s.writer, changesKept})
	if err != nil {
		return "", "", err
	}
	said, err := answer.AsStrSlice()
	if err != nil || len(said) != 2 {
		return "", "", fmt.Errorf("the store does not tell its id: %w", cmp.Or(err, errOddAnswer))
	}
	return said[0], said[1], nil
}

// read returns the entries since the one read last. It is not ok where that one is no longer in
// the stream, or the stream is another store's.
func (w *watch) read(ctx context.Context) (entries []rueidis.XRangeEntry, ok bool, err error) {
	b := w.store.client.B
	answers, err := w.store.ask(ctx, b().Get().Key(w.store.keys.id).Build(),
		b().Xrange().Key(w.store.keys.changes).Start(w.last).End("+").Count(changesTogether+1).Build())
	if err != nil {
		return nil, false, err
	}
	if id, err := answers[0].ToString(); err != nil || id != w.identity {
		return nil, false, nil
	}
	entries, err = answers[1].AsXRange()
	if err != nil {
		return nil, false, fmt.Errorf("the stream of changes: %w", err)
	}
	if len(entries) == 0 || entries[0].ID != w.last {
		return nil, false, nil
	}
	return entries[1:], true, nil
}

// take tells what others changed.
func (w *watch) take(entries []rueidis.XRangeEntry) {
	if len(entries) == 0 {
		return
	}
	w.last = entries[len(entries)-1].ID
	for _, e := range entries {
		w.store.entries.seen(e.ID)
	}
	if changes := changesOf(entries, w.store.writer); len(changes) > 0 {
		w.tell(store.News{Changes: changes})
	}
}

// changesOf returns what others than writer changed. What was told of a name is not told twice in
// a row.
func changesOf(entries []rueidis.XRangeEntry, writer string) []store.Change {
	var changes []store.Change
	told := map[string]store.Change{}
	for _, e := range entries {
		change, ok := changeOf(e.FieldValues)
		if !ok || e.FieldValues["w"] == writer {
			delete(told, change.Name)
			continue
		}
		if told[change.Name] != change {
			told[change.Name] = change
			changes = append(changes, change)
		}
	}
	return changes
}

// changeOf reports false for an entry that is no change of a record.
func changeOf(fields map[string]string) (store.Change, bool) {
	c := store.Change{Name: fields["n"], Came: fields["c"] == "came", Went: fields["c"] == "went"}
	return c, c.Name != "" && (c.Came || c.Went || fields["c"] == "put")
}
