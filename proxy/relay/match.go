package relay

import (
	"slices"
	"strings"
)

const eventType = "event"

// Wants reports whether the target's filters take d.
func (t *Target) Wants(d *Delivery) bool {
	o := &t.options
	if !matches(o.AppIDs, d.AppID) || !matches(o.Components, d.Component) {
		return false
	}
	if d.InfoType != "" {
		return t.wantsEvent(d.InfoType)
	}
	return t.wantsMessage(d.MsgType, d.Event)
}

func (t *Target) wantsEvent(infoType string) bool {
	o := &t.options
	if len(o.InfoTypes) == 0 {
		return len(o.MsgTypes) == 0 && len(o.Events) == 0
	}
	return matches(o.InfoTypes, infoType)
}

func (t *Target) wantsMessage(msgType, event string) bool {
	o := &t.options
	switch {
	case len(o.MsgTypes) == 0 && len(o.Events) == 0:
		return len(o.InfoTypes) == 0
	case strings.EqualFold(msgType, eventType) && len(o.Events) > 0:
		return matches(o.Events, event)
	default:
		return len(o.MsgTypes) > 0 && matches(o.MsgTypes, msgType)
	}
}

// matches reports whether a filter takes a value; an empty filter takes all.
func matches(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
