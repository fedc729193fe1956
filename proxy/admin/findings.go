package admin

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// Severity says how soon somebody has to act.
type Severity string

// The severities, the worst first.
const (
	// Critical: calls fail, or soon will, and it does not pass by itself or has not yet.
	Critical Severity = "critical"
	// Warning: nobody notices yet.
	Warning Severity = "warning"
	// Note: nothing is broken here; somebody may want to know.
	Note Severity = "note"
)

// Finding is one thing that is wrong.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code is a state of a key, or one of those that docs/admin.md lists.
	Code string `json:"code"`
	// Kind and AppID say whose trouble it is; empty for the sidecar's own. Component is the
	// component of authorizers, which AppIDs names some of.
	Kind      string   `json:"kind,omitempty"`
	AppID     string   `json:"appid,omitempty"`
	Component string   `json:"component,omitempty"`
	AppIDs    []string `json:"appids,omitempty"`
	// Errcode is WeChat's where one is the cause, else 0.
	Errcode int `json:"errcode,omitempty"`
	// Count is how many keys it concerns, 0 where that says nothing.
	Count int        `json:"count,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	// Message says what is wrong, in WeChat's words where they are the cause, and Cure what
	// to do. Runbook is a section of docs/operations.md.
	Message string `json:"message"`
	Cure    string `json:"cure"`
	Runbook string `json:"runbook"`
}

// skewNoted is from which difference on our clock is said to be wrong.
const skewNoted = 30.0

// lateEvent is after how many seconds an event is said to be late.
const lateEvent = 600.0

// findings says what is wrong in s, the worst first. It is pure.
func findings(s *Status) []Finding {
	all := []Finding{}
	all = append(all, ofProcess(s)...)
	all = append(all, ofStore(s)...)
	all = append(all, ofWeChat(s)...)
	for i := range s.Components {
		all = append(all, ofComponent(&s.Components[i], s)...)
	}
	for i := range s.Accounts {
		all = append(all, ofKey(&s.Accounts[i])...)
	}
	all = append(all, ofAuthorizers(s)...)
	all = append(all, ofEvents(s)...)
	sort.SliceStable(all, func(i, j int) bool { return rank(all[i].Severity) < rank(all[j].Severity) })
	return all
}

func rank(s Severity) int { return slices.Index([]Severity{Critical, Warning, Note}, s) }

func ofProcess(s *Status) []Finding {
	var all []Finding
	if s.State == "draining" {
		all = append(all, Finding{
			Severity: Note, Code: "draining", Message: "the sidecar was told to stop", Cure: "nothing: it ends by itself", Runbook: "starting-stopping-upgrading",
		})
	}
	if r := s.LastReload; r != nil && !r.Applied {
		all = append(all, Finding{
			Severity: Warning, Code: "reload_refused", Since: &r.At, Message: "the changed configuration is not used, and the old one is in force: " + strings.Join(r.Faults, "; "),
			Cure: "correct the configuration; wxsidecar check says whether it is right", Runbook: "starting-stopping-upgrading",
		})
	}
	if skew := s.Clock.SkewSeconds; math.Abs(skew) > skewNoted {
		side := "behind"
		if skew < 0 {
			side = "ahead of"
		}
		all = append(all, Finding{
			Severity: Warning, Code: "clock_wrong", Message: fmt.Sprintf("our clock is %.0f s %s WeChat's, which is allowed for", math.Abs(skew), side),
			Cure: "set the clock right (NTP): certificates are checked against it", Runbook: "clock-skew",
		})
	}
	return all
}

func ofStore(s *Status) []Finding {
	var all []Finding
	if sh := s.Shared; sh != nil && sh.Error+s.Storage.Error != "" {
		all = append(all, Finding{
			Severity: Critical, Code: "store_unreadable", Since: sh.Since, Message: "the store that the sidecars share does not answer: " + cmp.Or(sh.Error, s.Storage.Error),
			Cure:    "start Redis again, or mend the way to it; living tokens are served meanwhile, pushes wait at WeChat, and no restart is needed",
			Runbook: "while-redis-is-away",
		})
	} else if s.Storage.Error != "" {
		all = append(all, Finding{
			Severity: Critical, Code: "store_unreadable", Message: "the store cannot be read: " + s.Storage.Error,
			Cure: "mend the store; living tokens are served meanwhile, and no restart is needed", Runbook: "the-store",
		})
	}
	if n := s.Storage.Unsaved; n > 0 {
		all = append(all, Finding{
			Severity: Critical, Code: "store_unwritable", Count: n,
			Message: fmt.Sprintf("the store does not take the tokens of %d keys, which are served from memory: %s", n, s.Storage.UnsavedReason),
			Cure:    "make room, or the store writable, and do not restart before; all is saved by itself then", Runbook: "the-store",
		})
	}
	if sh := s.Shared; sh != nil && sh.Refused != "" && sh.Error == "" && s.Storage.Unsaved == 0 {
		all = append(all, Finding{
			Severity: Critical, Code: "store_unwritable", Message: "the store takes nothing, so that nothing is renewed: " + sh.Refused,
			Cure: "make room, or the store writable; all goes on by itself then", Runbook: "the-store",
		})
	}
	if r := s.Storage.Repaired; r != nil {
		all = append(all, Finding{
			Severity: Warning, Code: "store_repaired",
			Message: fmt.Sprintf("the store's file was damaged (%s); it was moved aside to %s, and a new one begun with %d records of it", r.Reason, r.MovedTo, r.Kept),
			Cure:    "WeChat's list brings back what is missing; look at the disk, keep the old file until all merchants are there again, and restart to end this notice", Runbook: "the-store",
		})
	}
	return all
}

func ofWeChat(s *Status) []Finding {
	var all []Finding
	switch {
	case s.WeChat.ProxyFails:
		all = append(all, Finding{
			Severity: Critical, Code: "proxy_unreachable", Since: s.WeChat.Since, Message: s.WeChat.Outage,
			Cure: "mend the proxy, or correct upstream.proxy; it is asked every two seconds, and all goes on by itself", Runbook: "the-proxy-does-not-let-us-through",
		})
	case s.WeChat.Outage != "":
		all = append(all, Finding{
			Severity: Critical, Code: "wechat_unreachable", Since: s.WeChat.Since, Message: s.WeChat.Outage,
			Cure: "check DNS and the way out; it is asked every two seconds, and all goes on by itself", Runbook: "wechat-does-not-answer",
		})
	}
	for _, h := range s.WeChat.Hosts {
		if h.OutUntil != nil && s.WeChat.Outage == "" { // else that is why
			all = append(all, Finding{
				Severity: Warning, Code: "host_out", Message: fmt.Sprintf("%s has failed %d calls in a row; the other hosts are used while there are any", h.Name, h.Failures),
				Cure: "check the way to it; it is tried again by itself", Runbook: "wechat-does-not-answer",
			})
		}
	}
	return all
}

// ofKey says what is wrong with the token of a component or an own account.
func ofKey(s *broker.AccountStatus) []Finding {
	f := Finding{Severity: Critical, Code: s.State, Kind: s.Kind, AppID: s.AppID, Message: s.Reason}
	switch {
	case s.State == broker.StateRenewing.String(), s.State == broker.StateUnknown.String():
		f.Severity = Warning // it has just begun
	case s.State != broker.StateLive.String():
	case s.Trouble != nil:
		f.Severity, f.Code, f.Message = Warning, s.Trouble.Cause, s.Trouble.Reason
		if s.ExpiresAt != nil {
			f.Message = "its token lives until " + s.ExpiresAt.Format(time.RFC3339) + " and cannot be renewed: " + f.Message
		}
	default:
		return nil
	}
	if s.Trouble != nil {
		f.Since, f.Errcode = &s.Trouble.Since, s.Trouble.Errcode
	}
	f.Cure, f.Runbook = cureOf(&f)
	return []Finding{f}
}

func ofComponent(c *broker.ComponentStatus, s *Status) []Finding {
	all := ofKey(&c.AccountStatus)
	if n := s.Keys.Blocked[c.AppID]; n > 0 && len(all) > 0 {
		all[0].Count = n
		all[0].Message += fmt.Sprintf("; %d keys wait for it", n)
	}
	waits := len(all) > 0 && all[0].Code == broker.StateWaitingTicket.String()
	if c.Ticket.Late(s.Now) && !waits {
		f := Finding{Severity: Warning, Code: "ticket_late", Kind: c.Kind, AppID: c.AppID, Since: c.Ticket.ReceivedAt, Message: "no ticket came for 25 minutes; WeChat pushes one every ten"}
		if c.Ticket.Refused != "" {
			f.Message += "; asked to push, it said: " + c.Ticket.Refused
		}
		if p := c.RefusedPush; p != nil {
			f.Message += fmt.Sprintf("; pushes come and are refused (%s): %s", p.Cause, p.Advice)
		}
		f.Cure, f.Runbook = cureOf(&Finding{Code: broker.StateWaitingTicket.String()})
		all = append(all, f)
	}
	if c.List.Error != "" {
		all = append(all, Finding{
			Severity: Warning, Code: "list_unread", Kind: c.Kind, AppID: c.AppID, Since: c.List.FailedAt, Message: "the list of authorizers could not be read to its end: " + c.List.Error,
			Cure: "it goes on by itself; WeChat's words say what may be wrong", Runbook: "misconfigured-only-a-person-can-cure-it",
		})
	}
	return all
}

func ofAuthorizers(s *Status) []Finding {
	var all []Finding
	for _, g := range s.Keys.Troubles {
		f := Finding{
			Severity: Critical, Code: g.Cause, Kind: "authorizer", Component: g.Component, AppIDs: g.AppIDs, Errcode: g.Errcode, Count: g.Count, Since: &g.Since,
			Message: fmt.Sprintf("%d merchants, %d of them still with a living token: %s", g.Count, g.Hidden, g.Reason),
		}
		switch {
		case g.Cause == broker.StateUnauthorized.String():
			f.Severity = Note // the merchant's own doing
		case g.Hidden == g.Count, g.Cause == broker.StateNeedsAuthorization.String():
			f.Severity = Warning
		}
		if g.Count == 1 {
			f.Message = g.Reason
		}
		f.Cure, f.Runbook = cureOf(&f)
		all = append(all, f)
	}
	if d := s.Keys.Displaced; len(d) > 0 {
		all = append(all, Finding{
			Severity: Warning, Code: "displaced", Message: "tokens are rejected although they are fresh, so somebody outside fetches them as well: " + strings.Join(d, ", "),
			Cure: "find the other service, script or SDK that has the secret or the refresh token, and have it call through the sidecar", Runbook: "displaced-tokens",
		})
	}
	return all
}

func ofEvents(s *Status) []Finding {
	var all []Finding
	if s.Outbox.OldestSeconds > lateEvent {
		all = append(all, Finding{
			Severity: Warning, Code: "events_late", Count: s.Outbox.Waiting, Message: fmt.Sprintf("%d events wait for an app, the oldest for %.0f minutes", s.Outbox.Waiting, s.Outbox.OldestSeconds/60),
			Cure: "look at the app under events; the log says what it answers", Runbook: "events-do-not-reach-an-app",
		})
	}
	if n := s.Outbox.DeadLetters; n > 0 {
		all = append(all, Finding{
			Severity: Warning, Code: "dead_letters", Count: n, Message: fmt.Sprintf("%d events were given up, as no app took them in a day", n),
			Cure: "once the app is well: wxsidecar events redeliver", Runbook: "events-do-not-reach-an-app",
		})
	}
	return all
}
