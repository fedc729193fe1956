package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

// table writes rows in columns.
func table(w io.Writer, head string, rows func(row func(cells ...any))) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(head, " ", "\t"))
	rows(func(cells ...any) {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, orDash(fmt.Sprint(cell)))
		}
		fmt.Fprintln(t)
	})
	_ = t.Flush() // there is nowhere to report a failure to
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Join(strings.Fields(text), " ") // a line, whatever WeChat or a merchant wrote
}

// shownAt writes a time, and nothing for none.
func shownAt(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}

// accountRows prints accounts, a line each, and what stands against their renewal.
func accountRows(w io.Writer, all []broker.AccountStatus) {
	table(w, "APPID KIND COMPONENT STATE EXPIRES LAST-USED TROUBLE", func(row func(...any)) {
		for i := range all {
			s := &all[i]
			row(s.AppID, s.Kind, s.Component, s.State, shownAt(s.ExpiresAt), shownAt(s.LastUsed), troubleOf(&s.KeyStatus))
		}
	})
}

func troubleOf(s *broker.KeyStatus) string {
	switch {
	case s.Trouble != nil:
		return s.Trouble.Reason
	case s.State != broker.StateLive.String():
		return s.Reason
	default:
		return ""
	}
}
