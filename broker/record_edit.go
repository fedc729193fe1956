package broker

import (
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// dropToken takes the access token away.
func (r *record) dropToken() {
	r.token, r.obtained, r.dies = secret.Text{}, time.Time{}, time.Time{}
}

// forget takes away all that the merchant's authorization gave, and any verdict.
func (r *record) forget() {
	r.dropToken()
	r.refreshToken, r.spare = secret.Text{}, secret.Text{}
	r.verdict, r.judged, r.reason, r.errcode = StateUnknown, time.Time{}, "", 0
	r.quotaMet = time.Time{}
}

// learnRefreshToken takes what WeChat, asked at that time, says is the account's
// refresh token, and reports whether that is news; none is no news. What a renewal
// has brought since is newer and stays in force, and the other becomes the spare.
func (r *record) learnRefreshToken(t secret.Text, asked time.Time) bool {
	if t.IsZero() || t.Equal(r.refreshToken) {
		return false
	}
	if !r.refreshToken.IsZero() && r.obtained.After(asked) {
		r.spare = t
	} else {
		r.refreshToken, r.spare = t, secret.Text{}
	}
	return true
}

// known reports whether there is a record whose content can be read.
func (r *record) known() bool { return r.generation > 0 && !r.unreadable }

// overtakes reports whether r came after base in more than what may be said beside a
// token: another renewal, an authorization, or its end.
func (r *record) overtakes(base *record) bool {
	return r.generation != base.generation || millis(r.authorized) != millis(base.authorized)
}

// contestedSince reports whether another sidecar, whose lease was older than that of fence,
// renewed the key after base was read.
func (r *record) contestedSince(base *record, fence uint64) bool {
	return r.renewedSince(base) && fence > r.fence
}

// fencedSince reports whether another sidecar, whose lease was newer than that of fence,
// renewed the key after base was read.
func (r *record) fencedSince(base *record, fence uint64) bool {
	return r.renewedSince(base) && fence < r.fence
}

// renewedSince reports whether a sidecar with a lease, and nothing else, changed the record
// since base.
func (r *record) renewedSince(base *record) bool {
	return r.generation != base.generation && r.fence != base.fence && millis(r.authorized) == millis(base.authorized) &&
		r.verdict == StateUnknown && !r.token.IsZero()
}

// rivals reports whether r and o hold different tokens, both in force as far as is known.
func (r *record) rivals(o *record) bool {
	return !r.token.IsZero() && !o.token.IsZero() && !r.token.Equal(o.token) && r.verdict == StateUnknown && o.verdict == StateUnknown
}

// newerThan reports whether r was obtained after o. Leases order what was obtained under them;
// what was obtained without one is ordered by WeChat's time, and within a millisecond, which is
// what the store keeps, by generation.
func (r *record) newerThan(o *record) bool {
	if r.fence > 0 && o.fence > 0 && r.fence != o.fence {
		return r.fence > o.fence
	}
	mine, others := millis(r.lastChanged()), millis(o.lastChanged())
	return mine > others || mine == others && r.generation > o.generation
}

// lastChanged returns when WeChat last gave or took something.
func (r *record) lastChanged() time.Time {
	return later(r.obtained, later(r.judged, r.authorized))
}

// judge notes a verdict that only the merchant can lift.
func (r *record) judge(verdict State, now time.Time, reason string, errcode int) {
	r.verdict, r.judged, r.reason, r.errcode = verdict, now, reason, errcode
}

// fill puts a grant into r. The same value again keeps its generation: apps that
// report it must not be told that there is a newer one.
func (r *record) fill(g wechat.Grant, obtained, used time.Time) {
	if !r.token.Equal(g.Token) {
		r.generation++
		r.token, r.obtained = g.Token, obtained
	}
	r.dies = obtained.Add(g.Life)
	r.fullLife = max(r.fullLife, g.Life)
	if !g.RefreshToken.IsZero() {
		r.refreshToken, r.spare = g.RefreshToken, secret.Text{}
	}
	if used.After(r.used) {
		r.used = used
	}
	r.judge(StateUnknown, time.Time{}, "", 0)
	r.quotaMet = time.Time{}
}

// grant puts an exchange into r: a new authorization, whatever was before. A token
// that was obtained since the exchange was made is of that authorization too, and so
// is the refresh token that came with it: those of the exchange are older, and stay out.
func (r *record) grant(x wechat.Exchange, obtained, authorized time.Time) {
	if r.verdict == StateUnknown && !r.token.IsZero() && r.obtained.After(obtained) {
		r.authorized = later(r.authorized, authorized)
		return
	}
	r.forget()
	r.authorized = authorized
	r.refreshToken = x.Authorizer.RefreshToken
	r.used = obtained // a merchant who authorises is about to be served
	if x.Grant.Token.IsZero() {
		r.generation++
		return
	}
	r.fill(x.Grant, obtained, r.used)
}

// merge brings r up to what the list, asked for at started, says of an account,
// and reports whether that changed it. It is pure. A refresh token that we hold is
// never replaced unless the merchant authorised again since: ours came last. What
// the list shows is kept beside it.
func (r *record) merge(a wechat.Authorizer, started time.Time) bool {
	again := a.AuthorizedAt.After(r.authorized)
	switch {
	case r.verdict == StateUnauthorized:
		if r.judged.After(started) {
			return false // taken back while the list was read
		}
		r.forget()
		r.generation++ // a renewal under way is of what is forgotten
	case r.known() && !again && !r.refreshToken.IsZero():
		if a.RefreshToken.IsZero() || a.RefreshToken.Equal(r.refreshToken) || a.RefreshToken.Equal(r.spare) || r.obtained.After(started) {
			return false
		}
		r.spare = a.RefreshToken
		if r.verdict == StateNeedsAuthorization {
			r.judge(StateUnknown, time.Time{}, "", 0)
		}
		return true
	case r.known() && a.RefreshToken.IsZero() && !again:
		return false // known, and no news
	}
	if r.learnRefreshToken(a.RefreshToken, started) {
		r.judge(StateUnknown, time.Time{}, "", 0)
	}
	if again {
		r.authorized = a.AuthorizedAt
	}
	if r.generation == 0 {
		r.generation = 1
	}
	return true
}
