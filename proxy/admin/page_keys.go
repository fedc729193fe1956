package admin

import "github.com/wxsidecar/wxsidecar/broker"

// token says how a token is: its state, when it dies, and what went wrong.
func (v *view) token(s *broker.AccountStatus) cell {
	c := cell{text: v.w.states[s.State], state: "bad", why: v.why(s)}
	switch {
	case s.State == broker.StateLive.String():
		c.state, c.at, c.more = "good", s.ExpiresAt, v.w.dies
	case s.State == broker.StateUnknown.String(), s.State == broker.StateRenewing.String():
		c.state = "warn"
	}
	if s.Trouble != nil && s.State == broker.StateLive.String() {
		c.state, c.text = "warn", c.text+" · "+v.w.states[s.Trouble.Cause]
	}
	if s.Displaced {
		c.state, c.text = "warn", c.text+" · "+v.w.displaced
	}
	if s.Unsaved {
		c.text += " · " + v.w.unsaved
	}
	return c
}

// why says what is known against a key; empty for nothing.
func (v *view) why(s *broker.AccountStatus) string {
	why, said := stateWhy(s.State), ""
	switch {
	case s.Trouble != nil:
		why, said = s.Trouble.Why, s.Trouble.Said
	case s.Reason == "":
		return ""
	case !s.InUse:
		why = "not_in_use"
	}
	f := because(Finding{}, "", why, said)
	return v.w.detailOf(&f)
}

func (v *view) renewalCell(s *broker.AccountStatus) cell {
	switch {
	case s.Renewing:
		return cell{text: v.w.renewingNow, state: "warn"}
	case s.WaitsFor != "":
		return cell{text: v.w.waitsFor, more: s.WaitsFor}
	case s.NextRenewal != nil:
		return cell{at: s.NextRenewal}
	case !s.InUse:
		return cell{text: v.w.nextCall}
	default:
		return cell{text: "–"}
	}
}

func (v *view) account(s *broker.AccountStatus) []cell {
	who := cell{text: s.AppID, state: "name", more: v.w.ownAccount}
	if s.Component != "" {
		who.more = v.w.of + " " + s.Component
	}
	return []cell{who, v.token(s), v.lastError(s), v.renewalCell(s), {buttons: []button{v.renewal(s)}}}
}

// lastError says since when something is wrong; what, stands with the state.
func (v *view) lastError(s *broker.AccountStatus) cell {
	if s.Trouble == nil {
		return cell{text: "–"}
	}
	c := cell{at: &s.Trouble.Since, state: "bad"}
	if s.Trouble.Errcode != 0 {
		c.text = "errcode " + itoa(s.Trouble.Errcode)
	}
	return c
}
