package main

import (
	"errors"
	"log/slog"
	"time"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

// reloader applies a changed configuration. One goroutine uses it.
type reloader struct {
	sidecar *sidecar
	// config is the configuration in force.
	config config.Config
	files  config.FileSums
	load   func() *config.Loaded
	log    *slog.Logger
}

// poll reloads if a file has changed. It compares contents, not times: a mounted
// Kubernetes secret changes by a symlink.
func (r *reloader) poll() {
	if r.files.Changed() {
		r.reload("a file changed")
	}
}

// reload applies all of the new configuration that can be applied, or nothing, and says
// what came of it.
func (r *reloader) reload(why string) admin.ReloadResult {
	result, now := r.apply(why), r.sidecar.broker.Now()
	result.At = now.UTC().Truncate(time.Second)
	r.sidecar.metrics.ConfigRead(result.Applied, now)
	r.sidecar.control.last.Store(&result)
	return result
}

func (r *reloader) apply(why string) admin.ReloadResult {
	result := admin.ReloadResult{Why: why, Faults: []string{}, NeedRestart: []string{}, Warnings: []string{}}
	l := r.load()
	// An invalid configuration is not read again either before it changes.
	r.files = l.Files
	if err := l.Err(); err != nil {
		var faults *config.FaultsError
		if errors.As(err, &faults) {
			for _, line := range faults.Faults() {
				r.log.Error("fault in the changed configuration", "fault", line)
				result.Faults = append(result.Faults, line)
			}
		}
		r.log.Error("the changed configuration is not used; the old one stays in force", "why", why)
		return result
	}
	logWarnings(r.log, l)
	result.Warnings = append(result.Warnings, l.Warnings...)
	for _, key := range config.FixedChanges(&r.config, &l.Config) {
		result.NeedRestart = append(result.NeedRestart, key)
		r.log.Warn("a change of this key needs a restart", "key", key)
	}
	if err := r.sidecar.configure(&l.Config); err != nil {
		err = errors.Join(err, r.sidecar.configure(&r.config)) // back, should a part have taken it over
		r.log.Error("the changed configuration is not used; the old one stays in force", "why", why, "error", err)
		result.Faults = append(result.Faults, err.Error())
		return result
	}
	config.TakeOver(&r.config, &l.Config)
	r.log.Info("configuration reloaded", "why", why, "components", len(l.Config.Components), "accounts", len(l.Config.Accounts), "callers", len(l.Config.Callers), "events", len(l.Config.Events))
	result.Applied = true
	return result
}

// logWarnings logs the configuration's warnings.
func logWarnings(log *slog.Logger, l *config.Loaded) {
	for _, w := range l.Warnings {
		log.Warn(w)
	}
}

// configure applies the settings that a reload may change. What can be refused is applied
// first, so that an error leaves as few as possible applied.
func (s *sidecar) configure(c *config.Config) error {
	callers, err := proxyCallers(c.Callers)
	if err != nil {
		return err
	}
	targets, err := relayTargets(c.Events)
	if err != nil {
		return err
	}
	if s.push != nil {
		if err := s.push.SetKeys(pushComponents(c.Components), pushAccounts(c.Accounts)); err != nil {
			return err
		}
	}
	if s.apps != nil {
		if err := s.apps.SetCallers(callers); err != nil {
			return err
		}
	}
	s.setTargets(targets)
	return s.broker.SetConfig(brokerComponents(c.Components), brokerAccounts(c.Accounts))
}
