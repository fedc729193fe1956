package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/config"
)

// newLogger returns the logger that the configuration describes, which was
// validated.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // debug, info, warn and error are slog's own names
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: spellDuration}
	if c.Format == "text" || c.Format == "auto" && isTerminal(w) {
		return slog.New(newFloodgate(slog.NewTextHandler(w, opts)))
	}
	return slog.New(newFloodgate(slog.NewJSONHandler(w, opts)))
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
	// floodLines is how many lines with one message are written within floodWindow:
	// more than a working sidecar has, and little enough for days of trouble, or of
	// an attack on the push listener, to leave room on the disk for other lines.
	floodLines  = 3000
	floodWindow = time.Minute
	// floodMessages bounds the messages that are counted. Nearly all are constants.
	floodMessages = 1000
)

// floodgate is a handler that leaves lines out when too many with the same message
// come, and says so: when it begins to, and how many they were. Metrics count what
// happened all the same.
type floodgate struct {
	slog.Handler
	*floods
}

// floods counts lines by message. It is safe for concurrent use.
type floods struct {
	mu        sync.Mutex
	byMessage map[string]*flood
}

type flood struct {
	began time.Time
	lines int
}

func newFloodgate(h slog.Handler) slog.Handler {
	return floodgate{h, &floods{byMessage: map[string]*flood{}}}
}

// Handle implements [slog.Handler].
func (f floodgate) Handle(ctx context.Context, r slog.Record) error {
	lines, leftOut := f.count(r.Message, r.Time)
	if leftOut > 0 {
		f.tell(ctx, r, "lines were left out, as too many of them came", "left_out", leftOut)
	}
	if lines <= floodLines {
		return f.Handler.Handle(ctx, r)
	}
	if lines == floodLines+1 {
		f.tell(ctx, r, "too many lines of one kind; for a while they are left out", "written", floodLines)
	}
	return nil
}

// count returns how many lines with message came within the window, this one
// included, and how many were left out of the window before if this one begins another.
func (f *floods) count(message string, now time.Time) (lines, leftOut int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.byMessage[message]
	if c == nil {
		if len(f.byMessage) == floodMessages {
			clear(f.byMessage)
		}
		c = &flood{began: now}
		f.byMessage[message] = c
	}
	if now.Sub(c.began) >= floodWindow {
		leftOut = max(c.lines-floodLines, 0)
		c.began, c.lines = now, 0
	}
	c.lines++
	return c.lines, leftOut
}

// tell writes a line about lines like r.
func (f floodgate) tell(ctx context.Context, r slog.Record, text string, about ...any) {
	line := slog.NewRecord(r.Time, slog.LevelWarn, text, r.PC)
	line.Add("line", r.Message)
	line.Add(about...)
	_ = f.Handler.Handle(ctx, line) // a log that cannot be written has nobody to tell
}

// WithAttrs implements [slog.Handler].
func (f floodgate) WithAttrs(attrs []slog.Attr) slog.Handler {
	return floodgate{f.Handler.WithAttrs(attrs), f.floods}
}

// WithGroup implements [slog.Handler].
func (f floodgate) WithGroup(name string) slog.Handler {
	return floodgate{f.Handler.WithGroup(name), f.floods}
}
