package admin

import (
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// ofKey says what is wrong with the token of a component or an own account.
func ofKey(s *broker.AccountStatus) []Finding {
	f := Finding{Severity: Critical, Code: s.State, Kind: s.Kind, AppID: s.AppID}
	reason := s.Reason
	switch {
	case s.State == broker.StateRenewing.String(), s.State == broker.StateUnknown.String():
		f.Severity = Warning // it has just begun
	case s.State != broker.StateLive.String():
	case s.Trouble != nil:
		f.Severity, f.Code, reason = Warning, s.Trouble.Cause, s.Trouble.Reason
		if s.ExpiresAt != nil {
			f = saying(f, "still_lives", s.ExpiresAt.Format(time.RFC3339))
		}
	default:
		return nil
	}
	why, said := stateWhy(s.State), ""
	if t := s.Trouble; t != nil {
		f.Since, f.Errcode, why, said = &t.Since, t.Errcode, t.Why, t.Said
	}
	f = because(f, reason, why, said)
	f.Cure, f.Runbook = cureOf(&f)
	return []Finding{f}
}

// stateWhy is why a key has no token of which no renewal has failed.
func stateWhy(state string) string {
	switch state {
	case broker.StateWaitingTicket.String():
		return broker.WhyNoTicket
	case broker.StateRetrying.String(): // WeChat, or its component, is awaited
		return broker.WhyNoAnswer
	default:
		return "asked_for"
	}
}

func ofComponent(c *broker.ComponentStatus, s *Status) []Finding {
	all := ofKey(&c.AccountStatus)
	if n := s.Keys.Blocked[c.AppID]; n > 0 && len(all) > 0 {
		all[0].Count = n
		all[0] = saying(all[0], "keys_wait", n)
	}
	waits := len(all) > 0 && all[0].Code == broker.StateWaitingTicket.String()
	if waits && c.Ticket.Refused != "" {
		all[0].details = append(all[0].details, detail{"start_refused", []any{c.Ticket.Refused}})
	}
	switch p := c.RefusedPush; {
	case waits && p != nil: // the message has it
		all[0].details = append(all[0].details, refusedPush(p)...)
	case waits && c.Ticket.Refused == "":
		all[0].details = append(all[0].details, detail{code: "ticket_url"})
	}
	if ticketLate(c.Ticket, s) && !waits {
		f := Finding{Severity: Warning, Code: "ticket_late", Kind: c.Kind, AppID: c.AppID, Since: c.Ticket.ReceivedAt}
		f = saying(f, "ticket_late")
		if c.Ticket.Refused != "" {
			f = saying(f, "start_refused", c.Ticket.Refused)
		}
		if p := c.RefusedPush; p != nil {
			f = saying(f, "pushes_refused", p.Cause)
			f.Message += p.Advice
			f.details = append(f.details, refusedPush(p)[1])
		}
		f.Cure, f.Runbook = cureOf(&Finding{Code: broker.StateWaitingTicket.String(), Kind: c.Kind, AppID: c.AppID})
		all = append(all, f)
	}
	if c.List.Error != "" {
		all = append(all, saying(Finding{
			Severity: Warning, Code: "list_unread", Kind: c.Kind, AppID: c.AppID, Since: c.List.FailedAt,
			Cure: "it goes on by itself; WeChat's words say what may be wrong", Runbook: "misconfigured-only-a-person-can-cure-it",
		}, "list_unread", c.List.Error))
	}
	return all
}

// ticketLate reports whether a ticket is overdue. The first is, once the sidecar has waited for it
// as long as for any other.
func ticketLate(t broker.TicketInfo, s *Status) bool {
	if t.ReceivedAt == nil {
		t.ReceivedAt = &s.StartedAt
	}
	return t.Late(s.Now)
}

func ofAuthorizers(s *Status) []Finding {
	var all []Finding
	for _, g := range s.Keys.Troubles {
		f := Finding{
			Severity: Critical, Code: g.Cause, Kind: "authorizer", Component: g.Component, AppIDs: g.AppIDs, Errcode: g.Errcode, Count: g.Count, Since: &g.Since,
		}
		switch {
		case g.Cause == broker.StateUnauthorized.String():
			f.Severity = Note // the merchant's own doing
		case g.Hidden == g.Count, g.Cause == broker.StateNeedsAuthorization.String():
			f.Severity = Warning
		}
		if g.Count > 1 {
			f = saying(f, "merchants", g.Count, g.Hidden)
		}
		f = because(f, g.Reason, g.Why, g.Said)
		f.Cure, f.Runbook = cureOf(&f)
		all = append(all, f)
	}
	if d := s.Keys.Displaced; len(d) > 0 {
		all = append(all, saying(Finding{
			Severity: Warning, Code: "displaced",
			Cure:    "find the other service, script or SDK that has the secret or the refresh token, and have it call through the sidecar",
			Runbook: "displaced-tokens",
		}, "displaced", strings.Join(d, ", ")))
	}
	return all
}

func ofEvents(s *Status) []Finding {
	var all []Finding
	if s.Outbox.OldestSeconds > lateEvent {
		all = append(all, saying(Finding{
			Severity: Warning, Code: "events_late", Count: s.Outbox.Waiting,
			Cure: "look at the app under events; the log says what it answers", Runbook: "events-do-not-reach-an-app",
		}, "events_late", s.Outbox.Waiting, int(s.Outbox.OldestSeconds/60)))
	}
	if n := s.Outbox.DeadLetters; n > 0 {
		all = append(all, saying(Finding{
			Severity: Warning, Code: "dead_letters", Count: n, Cure: "once the app is well: wxsidecar events redeliver", Runbook: "events-do-not-reach-an-app",
		}, "dead_letters", n))
	}
	return all
}
