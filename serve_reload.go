package main

import (
	"errors"
	"log/slog"
	"reflect"
	"slices"
)

// reloader takes over a changed configuration. It belongs to one goroutine.
type reloader struct {
	sidecar *sidecar
	// config is what is in force.
	config Config
	files  fileSums
	load   func() *Loaded
	log    *slog.Logger
}

// poll reloads if a file reads differently than the last time. Contents are
// compared, not times: a mounted Kubernetes secret changes by a symlink.
func (r *reloader) poll() {
	if r.files.changed() {
		r.reload("a file changed")
	}
}

// reload puts the new configuration in force, all of it that can be, or none.
func (r *reloader) reload(why string) {
	l := r.load()
	// Even a configuration that is no good is not read again before it changes.
	r.files = l.files
	if err := l.Err(); err != nil {
		for _, f := range newFaultsError(l.faults).faults {
			r.log.Error("fault in the changed configuration", "fault", f.String())
		}
		r.log.Error("the changed configuration is not used; the old one stays in force", "why", why)
		return
	}
	l.warnTo(r.log)
	for _, key := range fixedChanges(&r.config, &l.Config) {
		r.log.Warn("a change of this key needs a restart", "key", key)
	}
	if err := r.sidecar.configure(&l.Config); err != nil {
		err = errors.Join(err, r.sidecar.configure(&r.config)) // back, should a part have taken it over
		r.log.Error("the changed configuration is not used; the old one stays in force", "why", why, "error", err)
		return
	}
	takeOver(&r.config, &l.Config)
	r.log.Info("configuration reloaded", "why", why, "components", len(l.Config.Components), "accounts", len(l.Config.Accounts))
}

// takeOver copies the keys that can change while the sidecar runs.
func takeOver(to, from *Config) {
	to.Components, to.Accounts, to.Callers, to.Events = from.Components, from.Accounts, from.Callers, from.Events
}

// later are the keys whose work is not in this version, though their values are
// checked.
var later = []string{
	"admin.key_sha256", "admin.pprof", "events", "push.public_url", "push.landing_url", "push.release_check",
}

// adminKey is the key of the listener that nothing opens in this version.
const adminKey = "listen.admin"

// warnTo logs what check warns of, and the keys that do nothing.
func (l *Loaded) warnTo(log *slog.Logger) {
	for _, w := range l.Warnings {
		log.Warn(w)
	}
	for _, key := range l.inert() {
		log.Warn("this key has no effect in this version", "key", key)
	}
}

// inert returns the keys that somebody has set and that do nothing in this version.
func (l *Loaded) inert() []string {
	defaults := defaultConfig()
	set := differences(reflect.ValueOf(defaults), reflect.ValueOf(l.Config), "")
	set = slices.DeleteFunc(set, func(key string) bool { return !slices.Contains(later, key) })
	if l.given(adminKey) && l.Config.Listen.Admin != off {
		set = append(set, adminKey) // also where the default was written out: somebody counts on it
	}
	return set
}

// fixedChanges returns the keys that differ and can only be taken over by a
// restart.
func fixedChanges(old, changed *Config) []string {
	same := *changed
	takeOver(&same, old)
	return differences(reflect.ValueOf(*old), reflect.ValueOf(same), "")
}

func differences(a, b reflect.Value, path string) []string {
	var keys []string
	for _, k := range keysOf(a.Type()) {
		full, x, y := keyPath(path, k.name), a.Field(k.index), b.Field(k.index)
		switch {
		case isMapping(k.typ):
			keys = append(keys, differences(x, y, full)...)
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			keys = append(keys, full)
		}
	}
	return keys
}
