package outbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	waitingPrefix = "outbox/waiting/"
	deadPrefix    = "outbox/dead/"
)

// Event is something that WeChat pushed.
type Event struct {
	// ID is the same for a repeat of the same push, and for nothing else.
	ID string
	// Component is the platform's appid, AppID the merchant's; AppID may be empty.
	Component, AppID string
	// InfoType is WeChat's word for what happened.
	InfoType string
	// Text is what WeChat wrote, decrypted.
	Text secret.Text
}

// merchant is whose events keep their order.
func (e *Event) merchant() string { return e.Component + "/" + e.AppID }

// record is an event as the store has it, sealed. Times are milliseconds since 1970.
type record struct {
	ID        string `json:"id"`
	Component string `json:"component"`
	AppID     string `json:"appid,omitempty"`
	InfoType  string `json:"info_type"`
	Text      string `json:"text"`
	// Added is when Add or Redeliver took it, unique among all, so that it tells the order.
	Added int64 `json:"added"`
	// Had are the names of the targets that have it.
	Had []string `json:"had,omitempty"`
	// Died and Reason are of dead letters.
	Died   int64  `json:"died,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func (r *record) event() Event {
	return Event{ID: r.ID, Component: r.Component, AppID: r.AppID, InfoType: r.InfoType, Text: secret.New(r.Text)}
}

// name returns a name of the record that sorts by Added.
func (r *record) name(prefix string) string { return fmt.Sprintf("%s%013d-%s", prefix, r.Added, r.ID) }

// item is an event that waits. Outbox.mu guards what can change.
type item struct {
	Event
	added time.Time
	name  string // of its record
	size  int64

	version store.Version
	had     []string
	over    bool // done or dead: no longer in the outbox

	saves chan struct{} // capacity 1, full during a change of its record
}

// save runs fn, which changes the item's record, while nobody else does.
func (it *item) save(fn func() error) error {
	it.saves <- struct{}{} // no mutex: the store may take long
	defer func() { <-it.saves }()
	return fn()
}

func newItem(r *record, name string, v store.Version, size int64) *item {
	return &item{
		Event: r.event(), added: time.UnixMilli(r.Added), name: name, size: size, version: v, had: slices.Clone(r.Had),
		saves: make(chan struct{}, 1),
	}
}

// record returns the item's record, as of now.
func (it *item) record() *record {
	return &record{
		ID: it.ID, Component: it.Component, AppID: it.AppID, InfoType: it.InfoType, Text: it.Text.Reveal(),
		Added: it.added.UnixMilli(), Had: slices.Clone(it.had),
	}
}

// decode returns the event that a record of the store has.
func (o *Outbox) decode(named store.Named) (*record, error) {
	plain, err := o.Seal.Open(named.Name, named.Generation, named.Sealed)
	if err != nil {
		return nil, err
	}
	r := &record{}
	return r, json.Unmarshal(plain, r)
}

// put returns the write that makes r the record of name, over the version base.
func (o *Outbox) put(name string, base store.Version, r *record) (store.Write, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return store.Write{}, err
	}
	next := base.Generation + 1
	return store.Write{Name: name, Base: base, Record: store.Record{Generation: next, Sealed: o.Seal.Seal(name, next, plain)}}, nil
}

func deletion(name string, base store.Version) store.Write {
	return store.Write{Name: name, Base: base}
}

func sizeOf(w store.Write) int64 { return int64(len(w.Name) + len(w.Record.Sealed)) }
