package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

const (
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

func platformName(component string) string { return "platform/" + component }

func (p *platformRecord) encode() ([]byte, error) {
	w := wirePlatform{Asked: millis(p.asked), Listed: millis(p.listed)}
	for _, t := range p.tickets {
		w.Tickets = append(w.Tickets, wireTicket{t.value.Reveal(), millis(t.created), millis(t.received)})
	}
	return json.Marshal(w)
}

func decodePlatform(generation uint64, plain []byte) platformRecord {
	var w wirePlatform
	p := platformRecord{generation: generation}
	if plain == nil || json.Unmarshal(plain, &w) != nil {
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

// component is what memory holds of one configured component.
type component struct {
	appID  string
	wake   chan struct{} // capacity 1: look again
	stop   context.CancelFunc
	listed chan struct{} // closed once the list has been read, in this run or before

	refused atomic.Pointer[refusedPush] // nil for none

	mu   sync.Mutex // serialises changes of the record
	last platformRecord

	// Of lookAfter alone: when to ask again about those in doubt, of whom WeChat said
	// that the quota is used up; until the next of Broker.resets.
	askAt    time.Time
	askReset uint64

	// Guarded by Broker.mu.
	spent ticket // the newest when WeChat last refused all that were held
	// askFails is how often in a row WeChat refused to push tickets, and barred its
	// words where only a person can cure it; askNow, that a person says to have cured it.
	askFails int
	askNow   bool
	barred   *wechat.APIError
	vain     time.Time // when WeChat was last asked for tickets and did not answer
	freed    time.Time // when the end of an outage last let it be asked sooner

	listing listing
}

// platform returns the component's record, from memory if the store does not
// answer.
func (b *Broker) platform(ctx context.Context, appID string) (platformRecord, error) {
	c := b.component(appID)
	if c == nil {
		return platformRecord{}, fmt.Errorf("component %s is not configured", appID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, _ := b.readPlatform(ctx, c)
	return p, nil
}

// readPlatform is platform with the lock held. base is the generation that the
// store has: it may have gone back behind what memory knows, and is then caught up
// with by the next change.
func (b *Broker) readPlatform(ctx context.Context, c *component) (p platformRecord, base uint64) {
	plain, generation, err := b.records.read(ctx, platformName(c.appID))
	if err != nil {
		return c.last, c.last.generation
	}
	if generation < c.last.generation || generation == c.last.generation && plain == nil {
		return c.last, generation
	}
	c.last = decodePlatform(generation, plain)
	return c.last, generation
}

// updatePlatform makes an edit of the component's record durable. edit returns
// false to leave it as it is.
func (b *Broker) updatePlatform(ctx context.Context, c *component, edit func(platformRecord) (platformRecord, bool)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range conflictTries {
		cur, base := b.readPlatform(ctx, c)
		next, changed := edit(cur)
		if !changed {
			return nil
		}
		next.generation = cur.generation + 1
		plain, err := next.encode()
		if err != nil {
			return err
		}
		err = b.records.write(ctx, change{name: platformName(c.appID), base: base, generation: next.generation, plain: plain})
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			c.last = next
		}
		return err
	}
	return outpaced(platformName(c.appID))
}
