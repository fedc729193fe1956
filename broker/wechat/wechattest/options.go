package wechattest

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

// WeChat's own durations, from which all others scale.
const (
	defaultTokenLife = 2 * time.Hour
	// shareOfEnd is the last five minutes of two hours, as a share.
	shareOfEnd = 24
)

// Options says how a [Server] behaves. The zero value is WeChat as documented.
// Durations are rounded up to whole seconds where WeChat tells them to clients.
type Options struct {
	// Now is the simulator's clock; nil means time.Now. Inside a
	// testing/synctest bubble time.Now is the bubble's clock.
	Now func() time.Time
	// TokenLife is expires_in of every token; 0 means two hours.
	TokenLife time.Duration
	// Overlap is how long a replaced token still works. 0 means TokenLife/24
	// (five minutes of two hours); negative means not at all.
	Overlap time.Duration
	// TicketLife is how long a component_verify_ticket works; 0 means six lives
	// of a token (12 hours).
	TicketLife time.Duration
	// CodeLife is how long an authorization code works; 0 means a twelfth of
	// TokenLife (10 minutes).
	CodeLife time.Duration
	// PushEvery is the pause between two ticket pushes of [Server.RunPushes]; 0
	// means a twelfth of TokenLife (10 minutes).
	PushEvery time.Duration
	// PushRetry is how long after the beginning of one try of a push the next begins, if the
	// first has failed by then; 0 means 1/1440 of TokenLife (5 seconds).
	PushRetry time.Duration
	// RotateRefreshTokens makes every api_authorizer_token give a new refresh
	// token and void the former.
	RotateRefreshTokens bool
	// StickyTokens makes token calls give the same token, with the seconds that
	// are left, until its last twenty-fourth. Reports differ on whether WeChat
	// does so; the default is a new token with each call.
	StickyTokens bool
	// ReauthorizeKillsTokens makes a renewed authorization void the account's
	// access tokens too, not only its refresh token. WeChat does not say.
	ReauthorizeKillsTokens bool
	// DailyLimits is, by path, how many calls one account may make a day before
	// 45009. Nil means 2000 for /cgi-bin/token and no limit elsewhere.
	DailyLimits map[string]int
	// Pusher delivers pushes; nil means http.DefaultTransport. Tests may deliver
	// in memory with it.
	Pusher http.RoundTripper
	// Seed makes tokens, codes and probabilities repeatable; 0 means random.
	Seed uint64
	// KeepRequests bounds the records of [Server.Requests]; 0 means 4096.
	KeepRequests int
	// KeepBody bounds the bytes of a body that a record keeps; 0 means 8 KiB.
	KeepBody int
	// Log receives push failures; nil discards.
	Log *slog.Logger
}

// withDefaults fills the zero fields.
func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.TokenLife = wholeSeconds(orDuration(o.TokenLife, defaultTokenLife))
	o.Overlap = max(0, orDuration(o.Overlap, o.TokenLife/shareOfEnd))
	o.TicketLife = orDuration(o.TicketLife, 6*o.TokenLife)
	o.CodeLife = wholeSeconds(orDuration(o.CodeLife, o.TokenLife/12))
	o.PushEvery = orDuration(o.PushEvery, o.TokenLife/12)
	o.PushRetry = orDuration(o.PushRetry, o.TokenLife/1440)
	if o.DailyLimits == nil {
		o.DailyLimits = map[string]int{"/cgi-bin/token": 2000}
	}
	if o.Pusher == nil {
		o.Pusher = http.DefaultTransport
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	o.KeepRequests = orInt(o.KeepRequests, 4096)
	o.KeepBody = orInt(o.KeepBody, 8<<10)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// day is the length of a quota's day: 24 hours for tokens of two.
func (o Options) day() time.Duration { return 12 * o.TokenLife }

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func orInt(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// wholeSeconds rounds up to at least one second.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}
