package broker

import "time"

// statusOf returns how the key of a record is that is not in use: what its next call would
// find. It is pure.
func statusOf(key Key, rec *record, now time.Time) AccountStatus {
	s := AccountStatus{
		key: key, Component: key.Component, LastUsed: shownTime(rec.used), AuthorizedAt: shownTime(rec.authorized),
		KeyStatus: KeyStatus{Kind: key.Kind.String(), AppID: key.AppID},
	}
	alive := rec.alive(now)
	if alive {
		s.Generation, s.ExpiresAt = rec.generation, shownTime(rec.dies)
	}
	c := condition{since: instantOf(now)}
	if ev := eventOf(rec, alive); alive || ev.kind != eventDue {
		c = transition(c, withAdvice(key, ev), now)
	}
	if ev, used := quotaOf(rec, alive, now); used {
		c = transition(c, withAdvice(key, ev), now)
	}
	s.State = c.state.String()
	if c.state != StateLive {
		s.Reason = c.reason
	}
	if c.state == StateUnknown {
		s.Reason = "nobody has called for it lately; its next call fetches a token"
	}
	if c.trouble != StateUnknown {
		since := rec.judged
		if c.trouble == StateQuotaExhausted {
			since = rec.quotaMet
		}
		s.Trouble = newTrouble(key, c, since)
	}
	return s
}
