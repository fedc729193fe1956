package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

func (p *program) statusVerb() *cobra.Command {
	return p.adminVerb("status", "Show what is wrong with a running sidecar, and how everything is",
		"Status asks the sidecar what is wrong, the worst first, and what to do about it; then it shows its components, own\n"+
			"accounts and merchants.\n"+
			"Exit codes: 0 nothing is critical, 1 something is, or no answer came, 2 the command line or the address is at fault.",
		func(a *asker, _ []string) error {
			s, err := show(a, http.MethodGet, "status", nil, a.printStatus)
			if err != nil {
				return err
			}
			for _, f := range s.Findings {
				if f.Severity == admin.Critical {
					return &exitError{code: exitFailure} // it has been told
				}
			}
			return nil
		})
}

// printFinding says what is wrong, whose it is, and what to do.
func printFinding(out io.Writer, f *admin.Finding) {
	whose := ""
	switch {
	case f.AppID != "":
		whose = " " + f.Kind + " " + f.AppID
	case len(f.AppIDs) > 0:
		whose = " " + f.Kind + " " + strings.Join(f.AppIDs, ", ")
		if f.Count > len(f.AppIDs) {
			whose += ", …"
		}
		whose += " of " + f.Component
	}
	fmt.Fprintf(out, "%s: %s%s: %s\n    do: %s\n", f.Severity, f.Code, whose, orDash(f.Message), f.Cure)
}

func (a *asker) printStatus(s admin.Status) {
	out := a.std.out
	fmt.Fprintf(out, "wxsidecar %s, %s since %s, store %s\n\n", s.Version, s.State, s.StartedAt.Format("2006-01-02 15:04:05Z07:00"), s.Store)
	if len(s.Findings) == 0 {
		fmt.Fprintln(out, "nothing is wrong")
	}
	for i := range s.Findings {
		printFinding(out, &s.Findings[i])
	}
	fmt.Fprintln(out)
	table(out, "COMPONENT STATE EXPIRES TICKET LIST-READ MERCHANTS", func(row func(...any)) {
		for _, c := range s.Components {
			row(c.AppID, c.State, shownAt(c.ExpiresAt), shownAt(c.Ticket.ReceivedAt), shownAt(c.List.ReadAt), merchants(c.List))
		}
	})
	if len(s.Accounts) > 0 {
		fmt.Fprintln(out)
		accountRows(out, s.Accounts)
	}
	fmt.Fprintln(out)
	table(out, "KEYS-IN-USE STATE COUNT", func(row func(...any)) {
		for _, kind := range []string{"authorizer", "ticket"} {
			for _, state := range sortedKeys(s.Keys.Counts[kind]) {
				if n := s.Keys.Counts[kind][state]; n > 0 {
					row(kind, state, n)
				}
			}
		}
	})
	printReplicas(out, &s)
}

// printReplicas lists the sidecars on a shared store, this one first.
func printReplicas(out io.Writer, s *admin.Status) {
	if s.Shared == nil {
		return
	}
	fmt.Fprintln(out)
	table(out, "REPLICA STATE LAST-SEEN ROLE", func(row func(...any)) {
		row(s.Shared.Name, "this one", "", roleOf(s.Outbox.Delivering))
		for _, o := range s.Shared.Others {
			state := "running"
			if o.Away {
				state = "away"
			}
			row(o.Name, state, shownAt(&o.SeenAt), roleOf(o.Name == s.Outbox.DeliveredBy && !o.Away))
		}
	})
}

func roleOf(delivers bool) string {
	if delivers {
		return "delivers events"
	}
	return ""
}

// merchants writes how many there were in WeChat's list, and nothing where this sidecar has
// not read it: an earlier process did, or another one on the same store.
func merchants(l broker.ListInfo) string {
	if l.Accounts == 0 && !l.Reading {
		return "-"
	}
	return strconv.Itoa(l.Accounts)
}

// errNotDone ends a verb with 1 after it has printed why.
func errNotDone(why string) error { return &exitError{exitFailure, errors.New(why)} }
