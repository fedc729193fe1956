package broker

import "time"

// State is what one key is in. The names are the same in logs, metrics, the
// status page, /tokenz and errors. The zero State is StateUnknown: nothing was
// tried yet.
type State uint8

// The states of a key.
const (
	// StateUnknown: loaded or configured, and nothing was tried yet.
	StateUnknown State = iota
	// StateWaitingTicket: there is no usable component_verify_ticket yet; WeChat
	// pushes one every ten minutes and was asked to.
	StateWaitingTicket
	// StateRenewing: no living token, and a renewal is due or under way.
	StateRenewing
	// StateLive: a living token is held.
	StateLive
	// StateRetrying: no living token, and the last renewal failed; the next comes.
	StateRetrying
	// StateUnauthorized: the merchant has taken the authorization back (61003).
	StateUnauthorized
	// StateNeedsAuthorization: the refresh token is void (61023, 42007) and WeChat
	// has no other; only the merchant can cure it.
	StateNeedsAuthorization
	// StateQuotaExhausted: WeChat refuses token calls until the day ends (45009).
	StateQuotaExhausted
	// StateMisconfigured: only a person can cure it (wrong secret, IP not in the
	// whitelist, …); WeChat's words are in the reason.
	StateMisconfigured
)

var stateNames = [...]string{
	"unknown", "waiting_ticket", "renewing", "live", "retrying",
	"unauthorized", "needs_authorization", "quota_exhausted", "misconfigured",
}

// States returns all states, for metrics that show a zero for each.
func States() []State {
	all := make([]State, len(stateNames))
	for i := range all {
		all[i] = State(i)
	}
	return all
}

// String returns the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}

// condition is a state with what led to it. It is a value; transition makes a
// new one.
type condition struct {
	state State
	// trouble is the state that shows once no token lives; StateUnknown for none.
	// A living token hides it: the key is live, and its next renewal is awaited.
	trouble  State
	noAnswer bool    // WeChat, or the store, did not answer the last one at all
	failures int32   // renewals that failed in a row
	since    instant // when the state began
	troubled instant // since when the trouble is what it is
	reason   string  // of the trouble, for people
	errcode  int     // of the trouble, where WeChat gave one
	// ticketless is since when a component has had no usable ticket; zero while none
	// was missed.
	ticketless instant
	notBefore  instant
}

// eventKind is what can happen to a key.
type eventKind uint8

const (
	eventDue           eventKind = iota // a renewal begins
	eventRenewed                        // a living token was stored
	eventDied                           // the token died of age or was rejected
	eventFailed                         // a renewal failed, for a passing cause
	eventNoTicket                       // a component's renewal found no usable ticket
	eventTicket                         // a ticket came
	eventBlocked                        // a renewal needs another key that has no token
	eventUnblocked                      // that other key has one now
	eventQuota                          // 45009
	eventMisconfigured                  // only a person can cure it
	eventRevoked                        // 61003, confirmed, or the event
	eventRefreshVoid                    // 61023 or 42007, and WeChat has no other
	eventAuthorized                     // the merchant authorised (again)
	eventReset                          // an operator wants it tried now
	eventAnswered                       // WeChat, or the store, which did not answer, does so again
	eventHeld                           // another sidecar renews it
)

// event is what happens to a key, with its circumstances.
type event struct {
	kind eventKind
	// alive says whether a usable token is held after the event.
	alive bool
	// wait is how long no renewal may be tried.
	wait    time.Duration
	reason  string
	errcode int
	// noAnswer says that WeChat, or the store that sidecars share, did not answer at all.
	noAnswer bool
	// blocker is the state of the other key, for eventBlocked.
	blocker State
}

// transition returns the condition after ev. It is the only place that decides
// a key's state.
func transition(c condition, ev event, now time.Time) condition {
	next := c
	switch ev.kind {
	case eventRenewed, eventAuthorized, eventReset, eventUnblocked, eventTicket:
		next = cleared(c, ev)
	case eventFailed:
		next = troubled(c, ev, StateRetrying, now)
	case eventNoTicket:
		next = troubled(c, ev, StateWaitingTicket, now)
	case eventBlocked:
		next = troubled(c, ev, blockedState(ev.blocker), now)
	case eventQuota:
		next = troubled(c, ev, StateQuotaExhausted, now)
	case eventMisconfigured:
		next = troubled(c, ev, StateMisconfigured, now)
	case eventRevoked:
		next = troubled(c, ev, StateUnauthorized, now)
	case eventRefreshVoid:
		next = troubled(c, ev, StateNeedsAuthorization, now)
	case eventAnswered:
		next.notBefore = 0
	case eventHeld:
		next.notBefore = instantOf(now.Add(ev.wait))
	case eventDue, eventDied:
	}
	next.state = shown(next, ev.alive)
	if next.state != c.state {
		next.since = instantOf(now)
	}
	return next
}

// paced reports whether the trouble has pauses of its own between two renewals, of a
// minute and more once it lasts.
func (c condition) paced() bool {
	return c.trouble != StateUnknown && c.trouble != StateQuotaExhausted
}

// cleared takes the trouble away. A ticket ends only the waiting for one.
func cleared(c condition, ev event) condition {
	if ev.kind == eventTicket && c.trouble != StateWaitingTicket {
		return c
	}
	next := condition{state: c.state, since: c.since}
	if ev.kind != eventRenewed {
		next.ticketless = c.ticketless // one that came is not known to be usable
	}
	return next
}

// hasTrouble reports whether that is the trouble of c already. What only a person can
// cure is another trouble with each errcode; of what passes, the codes come and go.
func (c condition) hasTrouble(trouble State, errcode int) bool {
	return c.trouble == trouble && (trouble != StateMisconfigured || c.errcode == errcode)
}

func troubled(c condition, ev event, trouble State, now time.Time) condition {
	if !c.hasTrouble(trouble, ev.errcode) {
		c.troubled = instantOf(now)
	}
	c.trouble, c.reason, c.errcode, c.noAnswer = trouble, ev.reason, ev.errcode, ev.noAnswer
	c.notBefore = 0
	if ev.wait > 0 {
		c.notBefore = instantOf(now.Add(ev.wait))
	}
	if ev.kind != eventBlocked {
		c.failures++
	}
	if ev.kind == eventNoTicket && c.ticketless == 0 {
		c.ticketless = instantOf(now)
	}
	return c
}

// blockedState is what a key shows while the key that it needs has no token: the
// other's own trouble where a person must know of it, else that it is coming.
func blockedState(blocker State) State {
	switch blocker {
	case StateWaitingTicket, StateQuotaExhausted, StateMisconfigured, StateUnauthorized, StateNeedsAuthorization:
		return blocker
	default:
		return StateRetrying
	}
}

// shown is the state of a condition: live while a token lives, else the trouble,
// else that a renewal is due.
func shown(c condition, alive bool) State {
	switch {
	case c.trouble == StateUnauthorized || c.trouble == StateNeedsAuthorization:
		if alive && c.trouble == StateNeedsAuthorization {
			return StateLive // the last token lives on until its end
		}
		return c.trouble
	case alive:
		return StateLive
	case c.trouble != StateUnknown:
		return c.trouble
	default:
		return StateRenewing
	}
}
