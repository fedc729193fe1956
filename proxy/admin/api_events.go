package admin

import (
	"net/http"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// Events is what became of the last pushes, the newest first.
type Events struct {
	Events []Event `json:"events"`
}

// Event is what became of one push. It has nothing of its content.
type Event struct {
	At        time.Time `json:"at"`
	Component string    `json:"component,omitempty"`
	AppID     string    `json:"appid,omitempty"`
	// Type is the InfoType of an authorization event or the MsgType of a message, and Event
	// that of a message that is one.
	Type   string `json:"type"`
	Event  string `json:"event,omitempty"`
	ID     string `json:"id"`
	Result string `json:"result"`
}

// recentMost is how many the push listener keeps.
const recentMost = 500

func (a *api) listEvents(r *http.Request) (any, error) { return firstOf(r, a.recentEvents()) }

func (a *api) listMessages(r *http.Request) (any, error) { return firstOf(r, a.recentMessages()) }

// recentEvents returns the last events, the newest first; none without a push listener.
func (a *api) recentEvents() []push.Record {
	if a.Pushes == nil {
		return nil
	}
	return a.Pushes.RecentEvents()
}

// recentMessages is recentEvents for messages.
func (a *api) recentMessages() []push.Record {
	if a.Pushes == nil {
		return nil
	}
	return a.Pushes.RecentMessages()
}

// firstOf returns as many pushes as the query asks for.
func firstOf(r *http.Request, all []push.Record) (any, error) {
	limit, err := number(r, "limit", 100, recentMost)
	if err == nil {
		err = known(r, "limit")
	}
	if err != nil {
		return nil, err
	}
	events := []Event{}
	for _, e := range all[:min(len(all), limit)] {
		events = append(events, Event{
			At: e.Time.UTC(), Component: e.Component, AppID: e.AppID, Type: e.Type, Event: e.Event, ID: e.ID, Result: e.Result,
		})
	}
	return Events{events}, nil
}

// DeadLetters are events that no app took in a day, the newest first.
type DeadLetters struct {
	Total       int          `json:"total"`
	DeadLetters []DeadLetter `json:"dead_letters"`
}

// DeadLetter is an event that no app took, without its text.
type DeadLetter struct {
	ID        string    `json:"id"`
	Component string    `json:"component"`
	AppID     string    `json:"appid,omitempty"`
	InfoType  string    `json:"info_type"`
	AddedAt   time.Time `json:"added_at"`
	DiedAt    time.Time `json:"died_at"`
	Reason    string    `json:"reason"`
}

func (a *api) listDeadLetters(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100, recentMost)
	if err == nil {
		err = known(r, "limit")
	}
	if err != nil {
		return nil, err
	}
	answer := DeadLetters{DeadLetters: []DeadLetter{}}
	if a.Outbox == nil {
		return answer, nil
	}
	all := a.Outbox.DeadLetters()
	answer.Total = len(all)
	for i := len(all) - 1; i >= 0 && len(answer.DeadLetters) < limit; i-- {
		d := &all[i]
		answer.DeadLetters = append(answer.DeadLetters, DeadLetter{
			ID: d.ID, Component: d.Component, AppID: d.AppID, InfoType: d.InfoType, AddedAt: d.Added.UTC(), DiedAt: d.Died.UTC(), Reason: d.Reason,
		})
	}
	return answer, nil
}

// Redelivered says how many dead letters are tried again.
type Redelivered struct {
	Events int `json:"events"`
}

func (a *api) redeliverAll(r *http.Request) (any, error) {
	if err := known(r); err != nil || a.Outbox == nil {
		return Redelivered{}, err
	}
	n, err := a.Outbox.Redeliver(r.Context())
	return Redelivered{n}, err
}

func (a *api) redeliverOne(r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	id, found := r.PathValue("id"), false
	var err error
	if a.Outbox != nil {
		found, err = a.Outbox.RedeliverOne(r.Context(), id)
	}
	if err == nil && !found {
		err = fault(http.StatusNotFound, "unknown_event", "no dead letter has the id %q; it may have been delivered meanwhile", clip(id))
	}
	return Redelivered{1}, err
}
