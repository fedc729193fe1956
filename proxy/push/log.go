package push

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// serverLog takes fasthttp's own messages. It passes on their fixed text and the
// types of their arguments: the arguments themselves are errors that may quote
// what was received.
type serverLog struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (l serverLog) Printf(format string, args ...any) {
	types := make([]string, len(args))
	for i, a := range args {
		types[i] = fmt.Sprintf("%T", a)
	}
	// A connection that breaks off is the daily noise of the internet; trouble
	// with accepting them is not.
	level := slog.LevelWarn
	if strings.Contains(format, "serving connection") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "push listener", "message", format, "arguments", strings.Join(types, " "))
}
