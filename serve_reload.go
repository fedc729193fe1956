package main

import (
	"errors"
	"log/slog"

	"github.com/wxsidecar/wxsidecar/config"
)

// reloader takes over a changed configuration. It belongs to one goroutine.
type reloader struct {
	sidecar *sidecar
	// config is what is in force.
	config config.Config
	files  config.FileSums
	load   func() *config.Loaded
	log    *slog.Logger
}

// poll reloads if a file reads differently than the last time. Contents are
// compared, not times: a mounted Kubernetes secret changes by a symlink.
func (r *reloader) poll() {
	if r.files.Changed() {
		r.reload("a file changed")
	}
}

// reload puts the new configuration in force, all of it that can be, or none.
func (r *reloader) reload(why string) {
	l := r.load()
	// Even a configuration that is no good is not read again before it changes.
	r.files = l.Files
	if err := l.Err(); err != nil {
		var faults *config.FaultsError
		if errors.As(err, &faults) {
			for _, line := range faults.Faults() {
				r.log.Error("fault in the changed configuration", "fault", line)
			}
		}
		r.log.Error("the changed configuration is not used; the old one stays in force", "why", why)
		return
	}
	warnTo(r.log, l)
	for _, key := range config.FixedChanges(&r.config, &l.Config) {
		r.log.Warn("a change of this key needs a restart", "key", key)
	}
	if err := r.sidecar.configure(&l.Config); err != nil {
		err = errors.Join(err, r.sidecar.configure(&r.config)) // back, should a part have taken it over
		r.log.Error("the changed configuration is not used; the old one stays in force", "why", why, "error", err)
		return
	}
	config.TakeOver(&r.config, &l.Config)
	r.log.Info("configuration reloaded", "why", why, "components", len(l.Config.Components), "accounts", len(l.Config.Accounts))
}

// warnTo logs what check warns of, and the keys that do nothing.
func warnTo(log *slog.Logger, l *config.Loaded) {
	for _, w := range l.Warnings {
		log.Warn(w)
	}
	for _, key := range l.Inert() {
		log.Warn("this key has no effect in this version", "key", key)
	}
}
