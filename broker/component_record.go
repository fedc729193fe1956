package broker

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

const (
	platformPrefix = "platform/"
	// ticketLife is how long WeChat takes a component_verify_ticket.
	// https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/troubleshooting/component_verify_ticket_troubleshooting.html
	ticketLife  = 12 * time.Hour
	ticketsKept = 3
	// ticketFuture is how far ahead of WeChat's time a CreateTime is believed.
	ticketFuture = 10 * time.Minute
)

// ticket is one component_verify_ticket.
type ticket struct {
	value    secret.Text
	created  time.Time // CreateTime of its push
	received time.Time
}

// platformRecord is what the store keeps of one component beside its token. All
// times are WeChat's. It is a value; its slices are never changed.
type platformRecord struct {
	generation uint64
	tickets    []ticket  // newest first
	asked      time.Time // when WeChat was last asked to push tickets
	listed     time.Time // when the list of authorizers was last read to its end
}

type wirePlatform struct {
	Tickets []wireTicket `json:"tickets,omitempty"`
	Asked   int64        `json:"asked,omitempty"`
	Listed  int64        `json:"listed,omitempty"`
}

type wireTicket struct {
	Value    string `json:"value"`
	Created  int64  `json:"created"`
	Received int64  `json:"received"`
}

func (p *platformRecord) encode() ([]byte, error) {
	w := wirePlatform{Asked: millis(p.asked), Listed: millis(p.listed)}
	for _, t := range p.tickets {
		w.Tickets = append(w.Tickets, wireTicket{t.value.Reveal(), millis(t.created), millis(t.received)})
	}
	return json.Marshal(w)
}

func decodePlatform(got opened) platformRecord {
	var w wirePlatform
	p := platformRecord{generation: got.version.Generation}
	if got.plain == nil || json.Unmarshal(got.plain, &w) != nil {
		return p // the next push and the next list bring it back
	}
	p.asked, p.listed = moment(w.Asked), moment(w.Listed)
	for _, t := range w.Tickets {
		p.tickets = append(p.tickets, ticket{secret.New(t.Value), moment(t.Created), moment(t.Received)})
	}
	return p
}

// newest returns the newest ticket, and false when there is none.
func (p *platformRecord) newest() (ticket, bool) {
	if len(p.tickets) == 0 {
		return ticket{}, false
	}
	return p.tickets[0], true
}

// with returns p with t as its newest ticket, and false if t is older than the
// newest held or is that one.
func (p platformRecord) with(t ticket) (platformRecord, bool) {
	if held, ok := p.newest(); ok && (t.created.Before(held.created) || t.value.Equal(held.value)) {
		return p, false
	}
	p.tickets = append([]ticket{t}, p.tickets[:min(len(p.tickets), ticketsKept-1)]...)
	return p, true
}

// platform is the record of one component, in memory and in the store. It is safe for
// concurrent use: while the store answers one call, the others wait.
type platform struct {
	ledger *ledger
	name   string

	mu   sync.Mutex // serialises changes of the record
	last platformRecord
}

// open reads the record for the first time.
func (p *platform) open(ctx context.Context) (platformRecord, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	got, err := p.ledger.read(ctx, p.name)
	if err == nil {
		p.last = decodePlatform(got)
	}
	return p.last, err
}

// load returns the record, from memory if the store does not answer.
func (p *platform) load(ctx context.Context) platformRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	rec, _, _ := p.loadLocked(ctx)
	return rec
}

// loadLocked is load, and the version that the store has: it may have gone back behind what
// memory knows, and is then caught up with by the next change. An error comes with what
// memory knows.
func (p *platform) loadLocked(ctx context.Context) (rec platformRecord, base store.Version, err error) {
	got, err := p.ledger.read(ctx, p.name)
	if err != nil {
		return p.last, base, err
	}
	if g := got.version.Generation; g < p.last.generation || g == p.last.generation && got.plain == nil {
		return p.last, got.version, nil
	}
	p.last = decodePlatform(got)
	return p.last, got.version, nil
}

// update makes an edit of the record durable. edit returns false to leave it as it is.
func (p *platform) update(ctx context.Context, edit func(platformRecord) (platformRecord, bool)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range conflictTries {
		cur, base, readErr := p.loadLocked(ctx)
		next, changed := edit(cur)
		if !changed {
			return nil
		}
		if readErr != nil {
			return readErr
		}
		next.generation = cur.generation + 1
		plain, err := next.encode()
		if err != nil {
			return err
		}
		err = p.ledger.write(ctx, change{name: p.name, base: base, generation: next.generation, plain: plain})
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			p.last = next
		}
		return err
	}
	return outpaced(p.name)
}

// catchUp has memory follow the record, which another sidecar may have changed, and puts it
// back where the store has lost it. It returns the newest ticket before, and the record now.
func (p *platform) catchUp(ctx context.Context) (before ticket, now platformRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, _ = p.last.newest()
	now, base, err := p.loadLocked(ctx)
	if err != nil || base.Generation >= now.generation {
		return before, now
	}
	if plain, err := now.encode(); err == nil {
		// A conflict is another sidecar's doing, of which there is news.
		_ = p.ledger.write(ctx, change{name: p.name, base: base, generation: now.generation, plain: plain})
	}
	return before, now
}

// noteAsked remembers when tickets were asked for although the store did not take it:
// memory keeps the pace.
func (p *platform) noteAsked(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last.asked = at
}

// newest returns the newest ticket in memory, and false for none.
func (p *platform) newest() (ticket, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.newest()
}
