package broker

import (
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// importRefreshToken puts a refresh token that another system held into r, and reports what became
// of it and whether r was changed. It is pure. What WeChat said to a sidecar beats what another
// system held, unless WeChat has refused it since. No refresh token is lost: the other one becomes
// the spare, where there is room.
func (r *record) importRefreshToken(item ImportItem) (result ImportResult, changed bool) {
	switch {
	case !item.Listed.IsZero():
		return r.importListed(item)
	case item.Value.Equal(r.refreshToken), item.Value.Equal(r.spare):
		return ImportHeld, false
	case r.verdict == StateUnauthorized && !item.At.After(r.judged):
		return ImportGone, false
	case r.refreshToken.IsZero():
		r.takeImported(item)
		return ImportNew, true
	case r.verdict != StateUnknown, r.lastChanged().IsZero(), item.At.After(r.lastChanged()):
		r.takeImported(item)
		return ImportReplaces, true
	}
	if !r.spare.IsZero() {
		return ImportKept, false
	}
	r.spare = item.Value
	return ImportKept, true
}

// takeImported has the item's refresh token in force. A renewal under way is of what was before.
func (r *record) takeImported(item ImportItem) {
	r.generation++
	r.refreshToken, r.spare = item.Value, r.refreshToken
	r.authorized = later(r.authorized, item.At)
	r.judge(StateUnknown, time.Time{}, "", 0)
}

// holdsAsMuchAs reports whether an import has left r as it was before.
func (r *record) holdsAsMuchAs(before *record) bool {
	return r.refreshToken.Equal(before.refreshToken) && r.spare.Equal(before.spare) && r.verdict == before.verdict &&
		r.authorized.Equal(before.authorized)
}

// placeOf returns what has become of an item at the end, when other items of the same merchant may
// have taken its place. before is what r was before all of them.
func (r *record) placeOf(item ImportItem, result ImportResult, before *record) ImportResult {
	inForce, spare := item.Value.Equal(r.refreshToken), item.Value.Equal(r.spare)
	switch {
	case !item.Listed.IsZero(), result == ImportGone, result == ImportHeld && (inForce || spare):
		return result
	case inForce && item.Value.Equal(before.refreshToken), spare && item.Value.Equal(before.spare):
		return ImportHeld
	case inForce && before.refreshToken.IsZero():
		return ImportNew
	case inForce:
		return ImportReplaces
	case spare:
		return ImportKept
	default:
		return ImportDropped
	}
}

// importListed puts a refresh token into r that WeChat shows now.
func (r *record) importListed(item ImportItem) (result ImportResult, changed bool) {
	had := r.refreshToken
	changed = r.merge(wechat.Authorizer{AppID: item.AppID, RefreshToken: item.Value, AuthorizedAt: item.At}, item.Listed)
	switch {
	case item.Value.Equal(had):
		return ImportHeld, changed
	case !item.Value.Equal(r.refreshToken):
		return ImportKept, changed
	case had.IsZero():
		return ImportNew, changed
	default:
		return ImportReplaces, changed
	}
}

// importTicket returns p with a ticket that another system held as its newest, where that is
// ImportNew or ImportReplaces. Any push takes its place, whenever it was made.
func (p platformRecord) importTicket(item ImportItem, now time.Time) (platformRecord, ImportResult) {
	for _, held := range p.tickets {
		if held.value.Equal(item.Value) {
			return p, ImportHeld
		}
	}
	t := ticket{value: item.Value, received: item.At}
	switch {
	case item.At.IsZero():
		t.received = now.Add(-ticketPatience) // WeChat is asked for another one at once
	case item.At.After(now):
		t.received = now
	case now.Sub(item.At) > ticketLife:
		return p, ImportExpired
	}
	held, ok := p.newest()
	switch {
	case !ok, now.Sub(held.received) > ticketLife:
		ok = false
	case held.created.IsZero() && !t.received.Before(held.received): // that was imported too
	case item.At.IsZero(), !item.At.After(held.received):
		return p, ImportKept
	}
	p.tickets = append([]ticket{t}, p.tickets[:min(len(p.tickets), ticketsKept-1)]...)
	if ok {
		return p, ImportReplaces
	}
	return p, ImportNew
}
