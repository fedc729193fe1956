package main

import (
	"io"
	"log/slog"
	"os"

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
