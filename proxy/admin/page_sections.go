package admin

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

func (v *view) components() section {
	s := section{id: "components", title: v.w.components, heads: v.w.componentHeads, empty: v.w.noComponents}
	for i := range v.status.Components {
		c := &v.status.Components[i]
		s.rows = append(s.rows, []cell{
			{text: c.AppID, state: "name", more: v.counted(c.AppID)},
			v.token(&c.AccountStatus), v.ticket(c), v.renewalCell(&c.AccountStatus), v.list(&c.List),
			{buttons: []button{v.renewal(&c.AccountStatus), v.startTickets(c.AppID), v.link(c.AppID), v.readList(c.AppID)}},
		})
	}
	return s
}

// counted says how many merchants wait for a component.
func (v *view) counted(component string) string {
	if n := v.status.Keys.Blocked[component]; n > 0 {
		return v.w.count(v.w.blocked, n)
	}
	return ""
}

func (v *view) ticket(c *broker.ComponentStatus) cell {
	t := cell{at: c.Ticket.ReceivedAt, state: "good", detail: c.Ticket.Refused}
	if c.Ticket.Late(v.status.Now) {
		t.state = "bad"
	}
	if t.at == nil {
		t.text = v.w.noTicket
	}
	if p := c.RefusedPush; p != nil {
		f := Finding{Kind: c.Kind, AppID: c.AppID, details: refusedPush(p)}
		t.why = strings.TrimLeft(v.w.detailOf(&f), ";； ")
	}
	return t
}

func (v *view) list(l *broker.ListInfo) cell {
	switch {
	case l.Error != "":
		return cell{text: v.w.listFailed, state: "warn", at: l.FailedAt, detail: l.Error}
	case l.Reading:
		return cell{text: fmt.Sprintf("%d / %d", l.Accounts, l.Total), state: "warn", more: v.w.reading}
	case l.Pending:
		return cell{text: v.w.listPending, state: "warn"}
	default:
		return cell{text: itoa(l.Total), at: l.ReadAt}
	}
}

func (v *view) hosts() section {
	s := section{id: "hosts", title: v.w.hosts, heads: v.w.hostHeads, empty: v.w.noHosts, detail: v.status.WeChat.Fault}
	for _, h := range v.status.WeChat.Hosts {
		health := cell{text: v.w.healthy, state: "good"}
		switch {
		case h.OutUntil != nil:
			health = cell{text: v.w.out, state: "bad", more: v.w.triedAgain, at: h.OutUntil}
		case h.Failures > 0:
			health = cell{text: v.w.failing, state: "warn"}
		}
		s.rows = append(s.rows, []cell{{text: h.Name, state: "name"}, health, {text: itoa(h.Failures)}})
	}
	return s
}

func (v *view) pushes(id, title string, all []push.Record) section {
	s := section{id: id, title: title, heads: v.w.pushHeads, empty: v.w.noPushes}
	for i := range all[:min(len(all), pageEvents)] {
		e := &all[i]
		at, result := e.Time.UTC(), cell{text: e.Result, state: "bad"}
		switch e.Result {
		case "accepted", "repeated", "replied":
			result.state = "good"
		case "no_reply", "no_target": // as an app may want it
			result.state = ""
		}
		what := e.Type
		if e.Event != "" {
			what += " " + e.Event
		}
		s.rows = append(s.rows, []cell{{at: &at}, {text: what, state: "name"}, {text: e.AppID, state: "name", more: e.Component}, result})
	}
	return s
}

func (v *view) deadLetters(a *api) section {
	s := section{id: "dead-letters", title: v.w.deadLetters, heads: v.w.deadHeads, empty: v.w.noDeadLetters}
	if n := v.status.Outbox.Waiting; n > 0 {
		s.note = v.w.count(v.w.eventsWait, n) + " (" + v.span(time.Duration(v.status.Outbox.OldestSeconds)*time.Second) + ")"
	}
	if a.Outbox == nil {
		return s
	}
	all := a.Outbox.DeadLetters()
	for i := len(all) - 1; i >= 0 && len(s.rows) < pageEvents; i-- {
		d := &all[i]
		at := d.Died.UTC()
		s.rows = append(s.rows, []cell{
			{at: &at},
			{text: d.InfoType, state: "name"},
			{text: d.AppID, state: "name", more: d.Component},
			{detail: d.Reason},
			{buttons: []button{{v.w.redeliver, v.w.redeliver + " " + d.ID, "dead-letters/" + url.PathEscape(d.ID) + "/redeliver"}}},
		})
	}
	if len(all) > 0 {
		s.buttons = []button{v.redeliverAll()}
	}
	return s
}

// store says how the store is and, where it is shared, how the sidecars get on.
func (v *view) store() section {
	s := section{id: "store", title: v.w.store}
	s.add(v.w.place, cell{text: v.status.Store, state: "name"})
	st, shared := &v.status.Storage, v.status.Shared
	health := cell{text: v.w.answers, state: "good"}
	if shared != nil && shared.Error != "" {
		health = cell{text: v.w.away, state: "bad", at: shared.Since, detail: shared.Error}
	} else if st.Error != "" {
		health = cell{text: v.w.away, state: "bad", detail: st.Error}
	}
	s.add(v.w.health, health)
	if shared != nil && shared.Refused != "" {
		s.add(v.w.refused, cell{state: "bad", detail: shared.Refused})
	}
	if st.Unsaved > 0 {
		s.add(v.w.unsavedKeys, cell{text: itoa(st.Unsaved), state: "bad", detail: st.UnsavedReason})
	}
	if r := st.Repaired; r != nil {
		s.add(v.w.movedAside, cell{text: r.MovedTo, state: "warn", detail: r.Reason})
	}
	if shared == nil {
		s.add(v.w.replicas, cell{text: v.w.alone})
		return s
	}
	role := cell{text: v.w.standsBy}
	if v.status.Outbox.Delivering {
		role.text = v.w.delivers
	}
	s.add(v.w.role, role)
	seen := cell{text: v.w.neverSeen}
	if shared.OtherSeen != nil {
		seen = cell{text: v.w.seen, at: shared.OtherSeen}
	}
	s.add(v.w.replicas, seen)
	for i, n := range []uint64{shared.Contested, shared.Fenced, shared.Solo, shared.Repaired} {
		s.add(v.w.sharedCounts[i], cell{text: fmt.Sprint(n)})
	}
	return s
}

func (v *view) sidecar() section {
	s := section{id: "sidecar", title: v.w.sidecar}
	started := v.status.StartedAt
	s.add(v.w.version, cell{text: v.status.Version, state: "name"})
	s.add(v.w.started, cell{at: &started})
	for _, l := range v.status.Listeners {
		s.add(v.w.listener+" "+l.Name, cell{text: l.Address, state: "name"})
	}
	skew := cell{text: v.w.unmeasured}
	if v.status.Clock.Measured {
		skew = cell{text: fmt.Sprintf("%+d s", -int(v.status.Clock.SkewSeconds)), state: "good"}
		if math.Abs(v.status.Clock.SkewSeconds) > skewNoted {
			skew.state = "warn"
		}
	}
	s.add(v.w.skew, skew)
	if r := v.status.LastReload; r != nil {
		c := cell{text: v.w.applied, state: "good", at: &r.At}
		if !r.Applied {
			c = cell{text: v.w.refused, state: "bad", at: &r.At, detail: strings.Join(r.Faults, "; ")}
		}
		s.add(v.w.lastReload, c)
	}
	s.buttons = []button{{v.w.reload, v.w.reload, "reload"}}
	return s
}
