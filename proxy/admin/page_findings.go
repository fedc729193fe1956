package admin

import (
	"net/url"
	"strings"

	"github.com/wxsidecar/wxsidecar/broker"
)

// documents is where the runbook is read by those who have no copy of it.
const documents = "https://github.com/wxsidecar/wxsidecar/blob/main/docs/"

// card words a finding.
func (v *view) card(f *Finding) card {
	words := v.w.findings[f.cause()]
	c := card{severity: string(f.Severity), title: words.title, detail: v.w.detailOf(f), cure: f.in(words.cure), appIDs: f.AppIDs, runbook: documents + v.w.runbookFile + "#" + f.Runbook, since: f.Since}
	if c.title == "" {
		c.title = f.Code
	}
	if c.cure == "" {
		c.cure = strings.ToUpper(f.Cure[:1]) + f.Cure[1:] + "."
	}
	if subject := v.subject(f); subject != "" {
		c.title += " · " + subject
	}
	c.buttons = v.curing(f)
	return c
}

// subject says whose trouble a finding is; empty for the sidecar's own.
func (v *view) subject(f *Finding) string {
	switch {
	case f.AppID != "":
		return v.w.kinds[f.Kind] + " " + f.AppID
	case f.Kind == "authorizer" && f.Count == 1 && len(f.AppIDs) == 1:
		return v.w.kinds[f.Kind] + " " + f.AppIDs[0]
	case f.Kind == "authorizer":
		return v.w.count(v.w.merchants, f.Count)
	default:
		return ""
	}
}

// curing returns the buttons that may cure a finding.
func (v *view) curing(f *Finding) []button {
	switch f.Code {
	case "waiting_ticket", "ticket_late":
		if f.Kind == "component" {
			return []button{v.startTickets(f.AppID)}
		}
	case "misconfigured", "quota_exhausted":
		return []button{{label: v.w.tryAgain, about: v.w.tryAgain, path: "budgets/reset"}}
	case "needs_authorization", "unauthorized":
		if f.Component != "" {
			return []button{v.link(f.Component)}
		}
	case "reload_refused":
		return []button{{label: v.w.reload, about: v.w.reload, path: "reload"}}
	case "dead_letters":
		return []button{v.redeliverAll()}
	case "list_unread":
		return []button{v.readList(f.AppID)}
	}
	return nil
}

func (v *view) startTickets(appID string) button {
	return button{v.w.askTickets, v.w.askTickets + " " + appID, "components/" + url.PathEscape(appID) + "/ticket/start"}
}

func (v *view) link(component string) button {
	return button{v.w.link, v.w.link + " " + component, "components/" + url.PathEscape(component) + "/link"}
}

func (v *view) readList(component string) button {
	return button{v.w.readList, v.w.readList + " " + component, "components/" + url.PathEscape(component) + "/reconcile"}
}

func (v *view) redeliverAll() button {
	return button{v.w.redeliverAll, v.w.redeliverAll, "dead-letters/redeliver"}
}

// renewal is the button that renews an account or a component. It waits for the outcome.
func (v *view) renewal(s *broker.AccountStatus) button {
	of, query := "accounts/", "?wait=5s"
	if s.Kind == broker.KindComponent.String() {
		of = "components/"
	}
	if s.Component != "" {
		query += "&component=" + url.QueryEscape(s.Component)
	}
	return button{v.w.renew, strings.TrimSpace(v.w.renew + " " + s.AppID + " " + s.Component), of + url.PathEscape(s.AppID) + "/renew" + query}
}
