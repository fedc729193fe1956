package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/proxy/admin"
)

func (p *program) eventsVerb() *cobra.Command {
	messages := false
	cmd := p.adminVerb("events", "List what became of WeChat's last pushes",
		"Events lists the last authorization events and tickets, or messages, the newest first, and nothing of what they said.",
		func(a *asker, _ []string) error {
			path := "events"
			if messages {
				path = "messages"
			}
			_, err := show(a, http.MethodGet, path, a.query("limit"), a.printEvents)
			return err
		})
	cmd.Flags().BoolVar(&messages, "messages", false, "messages in place of events")
	cmd.Flags().Int("limit", 100, "how many, at most 500")
	cmd.AddCommand(p.eventsDeadVerb(), p.eventsRedeliverVerb())
	return cmd
}

func (a *asker) printEvents(all admin.Events) {
	table(a.std.out, "TIME TYPE COMPONENT APPID RESULT ID", func(row func(...any)) {
		for _, e := range all.Events {
			kind := e.Type
			if e.Event != "" {
				kind += "/" + e.Event
			}
			row(e.At.Format(time.RFC3339), kind, e.Component, e.AppID, e.Result, e.ID)
		}
	})
}

func (p *program) eventsDeadVerb() *cobra.Command {
	cmd := p.adminVerb("dead", "List events that no app took in a day",
		"Dead lists dead letters, the newest first.",
		func(a *asker, _ []string) error {
			_, err := show(a, http.MethodGet, "dead-letters", a.query("limit"), func(all admin.DeadLetters) {
				table(a.std.out, "DIED TYPE COMPONENT APPID ID REASON", func(row func(...any)) {
					for _, d := range all.DeadLetters {
						row(d.DiedAt.Format(time.RFC3339), d.InfoType, d.Component, d.AppID, d.ID, d.Reason)
					}
				})
			})
			return err
		})
	cmd.Flags().Int("limit", 100, "how many, at most 500")
	return cmd
}

func (p *program) eventsRedeliverVerb() *cobra.Command {
	cmd := p.adminVerb("redeliver [ID]", "Deliver dead letters again",
		"Redeliver has the dead letter ID delivered again, or all of them.",
		func(a *asker, args []string) error {
			path := "dead-letters/redeliver"
			if len(args) > 0 {
				path = "dead-letters/" + url.PathEscape(args[0]) + "/redeliver"
			}
			_, err := show(a, http.MethodPost, path, nil, func(r admin.Redelivered) {
				fmt.Fprintf(a.std.out, "%d events are delivered again\n", r.Events)
			})
			return err
		})
	cmd.Args = cobra.MaximumNArgs(1)
	return cmd
}
