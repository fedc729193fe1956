package broker

// forcedRecord is what is kept of the renewals that rejections forced, so that a restart does
// not begin anew and all sidecars on one store have one budget. At is when a rejection last
// took from it, in milliseconds since 1970. It is immutable.
type forcedRecord struct {
	At         int64   `json:"at"`
	Spent      float64 `json:"spent,omitempty"`
	Day        int32   `json:"day,omitempty"`
	Used       int32   `json:"used,omitempty"`
	RefreshDay int32   `json:"refresh_day,omitempty"`
	Refreshes  int32   `json:"refreshes,omitempty"`
	RefreshAt  int64   `json:"refresh_at,omitempty"`
}

// forcedOf returns what is to be kept of e's forced renewals, of what is held here and what the
// record has the later; nil where there were none today.
func (t *table) forcedOf(e *entry, stored *forcedRecord) *forcedRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, today := e.mishapsLocked(), chinaDay(t.clock.Now())
	r, q := m.rejection, m.quota
	if stored != nil && chinaDay(moment(stored.At)) == today && stored.At > millis(r.forced.at.time()) {
		return stored
	}
	if at := r.forced.at.time(); at.IsZero() || chinaDay(at) != today {
		return nil
	}
	return &forcedRecord{
		At: millis(r.forced.at.time()), Spent: r.forced.spent, Day: q.forced.day, Used: q.forced.used,
		RefreshDay: r.refreshes.day, Refreshes: r.refreshes.used, RefreshAt: millis(r.refreshAt.time()),
	}
}

// followForcedLocked takes over what another sidecar, or an earlier run, has spent since.
func (e *entry) followForcedLocked(f *forcedRecord) {
	if f == nil || !moment(f.At).After(e.mishapsLocked().rejection.forced.at.time()) {
		return
	}
	m := e.makeMishapsLocked()
	m.rejection.forced = forcedBudget{spent: f.Spent, at: instantOf(moment(f.At))}
	m.quota.forced = dayBudget{day: f.Day, used: f.Used}
	m.rejection.refreshes = dayBudget{day: f.RefreshDay, used: f.Refreshes}
	m.rejection.refreshAt = instantOf(moment(f.RefreshAt))
}
