package broker

import "time"

// fullLife is what WeChat's tokens live. Windows and margins are shares of a
// token's own life, so that one of twelve seconds behaves like one of two hours;
// where no token is known yet this is assumed.
const fullLife = 2 * time.Hour

// share scales d, which is meant for a token of the full life, to life. It never
// stretches.
func share(d, life time.Duration) time.Duration {
	if life >= fullLife || life <= 0 {
		return d
	}
	return time.Duration(float64(d) * float64(life) / float64(fullLife))
}

// due returns when a token is to be renewed ahead of its death: at the share at
// of its life, up to a tenth of the life earlier by r, which is within [0, 1).
//
// An own account's stable token is another matter: WeChat gives the same one
// until its last five minutes, a 24th of its full life, so it is due then.
func due(t *Token, full time.Duration, at, r float64) time.Time {
	if t.entry.key.Kind == KindAccount {
		return lastMinutes(t, full, r)
	}
	return t.ObtainedAt().Add(time.Duration((at - r/10) * float64(t.Life())))
}

func lastMinutes(t *Token, full time.Duration, r float64) time.Time {
	window := max(t.Life(), full) / 24
	return t.DiesAt().Add(-window + time.Duration(r*float64(window)/10))
}

// askAgain returns when to ask again after WeChat gave the same token at now: in
// the token's last five minutes, where there is a new one at the latest, and there
// the sooner the nearer the end is.
func askAgain(t *Token, full time.Duration, now time.Time, r float64) time.Time {
	again := lastMinutes(t, full, r)
	if soon := now.Add(max(t.DiesAt().Sub(now)/4, t.Life()/240, time.Second)); soon.After(again) {
		return soon
	}
	return again
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
