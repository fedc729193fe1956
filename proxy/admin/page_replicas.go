package admin

// replicas lists the sidecars on the shared store, this one first.
func (v *view) replicas() section {
	s := section{id: "replicas", title: v.w.onStore, heads: v.w.replicaHeads, empty: v.w.unmeasured}
	shared := v.status.Shared
	if shared.Name != "" {
		s.rows = append(s.rows, []cell{{text: shared.Name, state: "name", more: v.w.thisOne}, {text: v.w.present, state: "good"}, v.role(v.status.Outbox.Delivering)})
	}
	for i := range shared.Others {
		o := &shared.Others[i]
		seen := cell{text: v.w.present, state: "good", more: v.w.lastSeen, at: &o.SeenAt}
		if o.Away {
			seen.text, seen.state = v.w.gone, "warn"
		}
		s.rows = append(s.rows, []cell{{text: o.Name, state: "name"}, seen, v.role(o.Name == v.status.Outbox.DeliveredBy && !o.Away)})
	}
	return s
}

// role says whether a sidecar delivers events.
func (v *view) role(delivers bool) cell {
	if delivers {
		return cell{text: v.w.deliversEvents}
	}
	return cell{text: "–"}
}
