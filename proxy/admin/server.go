package admin

import (
	"log/slog"
	"net/http"
	"time"
)

// adminWriteTimeout is longer than an operation waits, and than a profile of half a minute
// takes.
const adminWriteTimeout = 75 * time.Second

// NewAdminServer is [NewServer] for the handler of [NewHandler], which may wait.
func NewAdminServer(h http.Handler, log *slog.Logger) *http.Server {
	s := NewServer(h, log)
	s.WriteTimeout = adminWriteTimeout
	return s
}

// NewServer returns a server for h with limits against slow peers and against many
// connections. net/http logs its errors to log as warnings; a nil log discards them.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler: h,
		// Requests are a line and a few headers.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		// A scrape of a busy sidecar is some hundred KiB, and Prometheus waits no longer.
		WriteTimeout: 10 * time.Second,
		// Prometheus keeps its connection between scrapes, a minute apart at most.
		IdleTimeout: 75 * time.Second,
		ConnState:   newConnections().track,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
