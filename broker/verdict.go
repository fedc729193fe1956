package broker

import "context"

// judged makes durable what a restart must not make us ask again: a verdict that
// only the merchant can lift, or a quota that is used up. It does not if the record
// was changed meanwhile, by an authorization, say: then that is what counts.
func (b *Broker) judged(ctx context.Context, e *entry, base *record, out outcome) outcome {
	now := b.clock.Now()
	var note func(*record)
	switch out.what {
	case happenedRevoked:
		note = func(r *record) {
			r.dropToken()
			r.judge(StateUnauthorized, now, out.reason, out.errcode)
		}
	case happenedRefreshVoid:
		rejected := b.isRejected(e, base.generation)
		note = func(r *record) {
			if rejected { // else it would be served again, and rejected again
				r.dropToken()
			}
			r.judge(StateNeedsAuthorization, now, out.reason, out.errcode)
		}
	case happenedQuota:
		note = func(r *record) {
			r.quotaMet = now
			r.generation = max(r.generation, 1) // an account that never had a token has no record yet
		}
	default:
		if cur := b.inForce(e); cur.overtakes(base) {
			return b.overtaken(e, cur)
		}
		return out
	}
	late := false
	rec, err := b.update(ctx, e.key, func(r *record) bool {
		if late = r.overtakes(base); late {
			return false
		}
		note(r)
		return true
	})
	if late && rec != nil {
		return b.overtaken(e, rec)
	}
	if err != nil {
		b.log.Warn("what WeChat said of a key could not be saved; it is asked again after a restart", "key", e.key.String(), "error", err)
	}
	if out.what != happenedQuota {
		b.directory.changed()
	}
	if out.what == happenedRevoked {
		if err := b.dropPageTickets(ctx, e.key); err != nil {
			b.log.Warn("the tickets for pages of an account that was taken back are served until their end", "key", e.key.String(), "error", err)
		}
	}
	return out
}

// stillJudged has a verdict of base stand where looking at it again came to nothing: a
// question that WeChat did not answer takes nothing from what it has said before. A
// rejected token, which a verdict takes away, waits for that to be known anew.
func (b *Broker) stillJudged(e *entry, base *record, out outcome) outcome {
	passing := out.what == happenedFailed || out.what == happenedQuota
	if base.verdict == StateUnknown || !passing || b.isRejected(e, base.generation) {
		return out
	}
	ev := eventOf(base, false)
	ev.wait, ev.silent = max(out.wait, verdictMemory), out.silent
	return outcome{event: ev, result: out.result, noAnswer: out.noAnswer}
}

// inForce returns the record that memory follows.
func (b *Broker) inForce(e *entry) *record {
	defer b.locks.one(e.key)()
	return e.rec
}

// isRejected reports whether WeChat has rejected e's token of that generation.
func (b *Broker) isRejected(e *entry, generation uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return e.rejected == generation || e.suspect != nil && e.suspect.Generation == generation
}

// overtaken is the outcome of a renewal whose record was changed meanwhile by somebody
// else: what is in force counts, whatever the renewal came to.
func (b *Broker) overtaken(e *entry, inForce *record) outcome {
	if inForce.verdict == StateUnknown {
		return b.renewed(e, inForce, "late")
	}
	out := outcome{event: eventOf(inForce, false), result: "late"} // taken back
	out.wait = verdictMemory
	return out
}
