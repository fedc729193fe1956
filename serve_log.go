package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy"
)

// newLogger returns the logger that the configuration describes, which was
// validated, and sets level, which it then follows.
func newLogger(w io.Writer, c config.Log, level *slog.LevelVar) *slog.Logger {
	_ = level.UnmarshalText([]byte(c.Level)) // debug, info, warn and error are slog's own names
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: spellDuration}
	if c.Format == "text" || c.Format == "auto" && isTerminal(w) {
		return slog.New(limitLines(slog.NewTextHandler(w, opts)))
	}
	return slog.New(limitLines(slog.NewJSONHandler(w, opts)))
}

// spellDuration writes a duration as 1.5s; JSON would have nanoseconds.
func spellDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// isTerminal reports whether w is a character device, as a terminal is. A file, a
// pipe and a container's log are not.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const (
	// maxLines is how many lines with one message are written in each lineWindow. A
	// healthy sidecar writes fewer, and days of an attack on the push listener do not
	// fill the disk.
	maxLines   = 3000
	lineWindow = time.Minute
	// maxMessages bounds how many messages are counted. Nearly all are constants.
	maxMessages = 1000
)

// lineLimiter is a handler that drops lines when there are too many with the same message.
// It logs when it begins to, and how many it has dropped. Metrics still count the events.
type lineLimiter struct {
	slog.Handler
	*messageCounts
}

// messageCounts counts lines by message. It is safe for concurrent use.
type messageCounts struct {
	mu        sync.Mutex
	byMessage map[string]*messageCount
}

type messageCount struct {
	began time.Time
	lines int
}

// limitLines returns h with a limit for lines of one message.
func limitLines(h slog.Handler) slog.Handler {
	return lineLimiter{h, &messageCounts{byMessage: map[string]*messageCount{}}}
}

// Handle implements [slog.Handler].
func (l lineLimiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == proxy.AccessMessage {
		return l.Handler.Handle(ctx, r) // somebody has asked for all of them
	}
	lines, dropped := l.count(r.Message, r.Time)
	if dropped > 0 {
		l.notice(ctx, r, "lines were left out, as too many of them came", "left_out", dropped)
	}
	if lines <= maxLines {
		return l.Handler.Handle(ctx, r)
	}
	if lines == maxLines+1 {
		l.notice(ctx, r, "too many lines of one kind; for a while they are left out", "written", maxLines)
	}
	return nil
}

// count returns how many lines with message the window has, this one included. If this one
// begins a new window, dropped is how many lines of the last were dropped.
func (m *messageCounts) count(message string, now time.Time) (lines, dropped int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.byMessage[message]
	if c == nil {
		if len(m.byMessage) == maxMessages {
			clear(m.byMessage)
		}
		c = &messageCount{began: now}
		m.byMessage[message] = c
	}
	if now.Sub(c.began) >= lineWindow {
		dropped = max(c.lines-maxLines, 0)
		c.began, c.lines = now, 0
	}
	c.lines++
	return c.lines, dropped
}

// notice writes a line about lines like r.
func (l lineLimiter) notice(ctx context.Context, r slog.Record, text string, about ...any) {
	line := slog.NewRecord(r.Time, slog.LevelWarn, text, r.PC)
	line.Add("line", r.Message)
	line.Add(about...)
	_ = l.Handler.Handle(ctx, line) // there is nowhere to report that the log fails
}

// WithAttrs implements [slog.Handler].
func (l lineLimiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lineLimiter{l.Handler.WithAttrs(attrs), l.messageCounts}
}

// WithGroup implements [slog.Handler].
func (l lineLimiter) WithGroup(name string) slog.Handler {
	return lineLimiter{l.Handler.WithGroup(name), l.messageCounts}
}
