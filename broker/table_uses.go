package broker

import "time"

// staleUses returns some keys whose last use the store has older than slack, and when
// that was.
func (t *table) staleUses(slack time.Duration, most int) map[Key]time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	uses, config := map[Key]time.Time{}, t.config.Load()
	for e := range t.entries.all() {
		if used := e.lastUsed(); used.Unix()-int64(e.usedSaved) > int64(slack/time.Second) && !config.has(e.key) {
			uses[e.key] = used
		}
		if len(uses) == most {
			break
		}
	}
	return uses
}

// useNotSaved notes that the last use of key is written with its record, or never.
func (t *table) useNotSaved(key Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries.find(key); e != nil {
		e.usedSaved = uint32(e.used.Load())
	}
}
