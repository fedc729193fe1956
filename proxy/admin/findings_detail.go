package admin

import (
	"fmt"
	"slices"

	"github.com/wxsidecar/wxsidecar/broker"
)

// detail is a part of what a finding says: one of [pageWords]' parts, and what is put into it.
// WeChat's own words, addresses and names are put in as they are.
type detail struct {
	code string
	with []any
}

// saying returns f with more said, in its message in English.
func saying(f Finding, code string, with ...any) Finding {
	d := detail{code, with}
	f.details = append(slices.Clip(f.details), d)
	f.Message += pageEnglish.detail(d)
	return f
}

// because returns f with the reason that the broker words, which is why for programs and has what
// others said in it.
func because(f Finding, reason, why, said string) Finding {
	f.Message += reason
	d := detail{code: "why_" + why}
	if said != "" {
		d.code, d.with = d.code+"_said", []any{said}
	}
	f.details = append(slices.Clip(f.details), d)
	return f
}

// refusedPush says that a push was refused, and what to do about it.
func refusedPush(p *broker.RefusedPush) []detail {
	return []detail{{"pushes_refused", []any{p.Cause}}, {pushCause(p.Cause), nil}}
}

// pushCause is the detail for a cause of refused pushes. Several need the same done.
func pushCause(cause string) string {
	switch cause {
	case "forged", "outside_window", "cut_off", "too_large", "parameters", "busy":
		return "push_" + cause
	case "padding", "frame":
		return "push_padding"
	case "foreign_appid", "unknown_component", "unknown_path":
		return "push_path"
	default:
		return "push_other"
	}
}

// detail words a part of what a finding says.
func (w *pageWords) detail(d detail) string {
	return fmt.Sprintf(w.parts[d.code], d.with...)
}

// detailOf words what a finding says.
func (w *pageWords) detailOf(f *Finding) string {
	text := ""
	for _, d := range f.details {
		text += fmt.Sprintf(f.in(w.parts[d.code]), d.with...)
	}
	return text
}
