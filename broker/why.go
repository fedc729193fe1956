package broker

import "strings"

// Why the last renewal of a key failed, for programs and for other languages than that of the
// reason. [Trouble] has one of these.
const (
	WhyRefused        = "refused"          // WeChat answered with an errcode
	WhyNoAnswer       = "no_answer"        // WeChat, or the way to it, did not answer
	WhyStoreAway      = "store_away"       // the store that sidecars share did not answer
	WhyNoTicket       = "no_ticket"        // there is no usable ticket
	WhyBudget         = "budget"           // a budget of ours has none left
	WhyQuotaMet       = "quota_met"        // WeChat said earlier that the quota is used up
	WhyWithdrawn      = "withdrawn"        // WeChat pushed that the merchant took the authorization back
	WhyForgotten      = "forgotten"        // an operator had it forgotten
	WhyNoRefreshToken = "no_refresh_token" // WeChat has never shown one
	WhyOther          = "other"            // what was said has it all
)

// Whys returns all of them.
func Whys() []string {
	return []string{WhyRefused, WhyNoAnswer, WhyStoreAway, WhyNoTicket, WhyBudget, WhyQuotaMet, WhyWithdrawn, WhyForgotten, WhyNoRefreshToken, WhyOther}
}

// Reasons that are ours, by which [why] knows them again, also in a record of an earlier run.
const (
	reasonPushed     = "WeChat pushed unauthorized"
	reasonForgotten  = "an operator had it forgotten"
	reasonForced     = "the daily budget of renewals that rejections force is used up for this key; one an hour is made until midnight in China"
	reasonQuotaOfAll = "WeChat answered errcode 45009 to several accounts; token calls of this kind wait for the day's end in China"
	reasonQuotaMet   = "WeChat answered errcode 45009 at "
	reasonTriedAgain = "; WeChat still shows this refresh token, so it is tried once more"
)

// why says for programs why the last renewal of a key failed, and what was said, in the words of
// WeChat, of the network or of the store; "" where the reason is ours. It is pure.
func why(key Key, c condition) (code, said string) {
	text := c.reason
	if do := advice(key, adviceFor[c.trouble], c.errcode); do != "" {
		text = strings.TrimSuffix(text, "; "+do)
	}
	text = strings.TrimSuffix(text, reasonTriedAgain)
	away, isAway := strings.CutPrefix(text, awayReason+": ")
	switch {
	case isAway:
		return WhyStoreAway, away
	case text == reasonPushed:
		return WhyWithdrawn, ""
	case text == reasonForgotten:
		return WhyForgotten, ""
	case text == reasonForced:
		return WhyBudget, ""
	case text == reasonQuotaOfAll, strings.HasPrefix(text, reasonQuotaMet):
		return WhyQuotaMet, ""
	case text == errNoRefreshToken.Error():
		return WhyNoRefreshToken, ""
	case c.trouble == StateWaitingTicket && c.errcode == 0:
		return WhyNoTicket, ""
	case c.noAnswer:
		return WhyNoAnswer, text
	case c.errcode != 0:
		return WhyRefused, text
	default:
		return WhyOther, text
	}
}

// adviceFor is what happened to a key that has a trouble.
var adviceFor = map[State]eventKind{
	StateRetrying: eventFailed, StateQuotaExhausted: eventQuota, StateMisconfigured: eventMisconfigured,
	StateUnauthorized: eventRevoked, StateNeedsAuthorization: eventRefreshVoid,
}
