package broker_test

import (
	"context"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// agenda is when what comes in turns comes next.
type agenda struct {
	tickets [2]pushes // of the two components
	calm    time.Time // until when WeChat does not fail
	newest  int       // merchant
}

// pushes are those of one component's tickets.
type pushes struct{ next, drought, arrived time.Time }

// chance is true once in so many times.
func (w *week) chance(in int) bool { return w.dice.IntN(in) == 0 }

func (w *week) upTo(d time.Duration) time.Duration { return time.Duration(w.dice.Int64N(int64(d))) + 1 }

func (w *week) anyMerchant() *subject {
	for {
		if s := w.subjects[w.dice.IntN(len(w.subjects))]; s.key.Kind == broker.KindAuthorizer {
			return s
		}
	}
}

// misfortune does what happens within a minute. The calls of the minute are over.
func (w *week) misfortune() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pushTickets()
	if w.chance(8) {
		w.spoil()
	}
	if w.chance(40) {
		w.strike()
	}
	if now := time.Now(); now.After(w.agenda.calm) && w.chance(40) {
		w.begin()
	}
	if w.chance(15) {
		w.merchantActs()
	}
	w.process()
}

// pushTickets pushes each component's each ten minutes; three in ten are lost, and now and
// then all of some hours, but not of so many in turn that the last ticket's life of twelve
// ends.
func (w *week) pushTickets() {
	now := time.Now()
	for i, component := range weekComponents {
		t := &w.agenda.tickets[i]
		if now.Before(t.next) {
			continue
		}
		t.next = now.Add(10 * time.Minute)
		if w.chance(100) {
			if d := w.upTo(6 * time.Hour); now.Sub(t.arrived) < time.Hour {
				t.drought = now.Add(d)
			}
		}
		if now.Before(t.drought) || w.dice.IntN(10) < 3 {
			continue
		}
		t.arrived = now
		w.push(w.newTicket(component), nil)
	}
}

func (w *week) newTicket(component string) wechat.Push {
	return wechat.Push{
		ID: "t" + time.Now().String(), Component: component, InfoType: wechat.InfoTicket,
		CreateTime: time.Now(), Ticket: secret.New(w.sim.NewTicket(component)),
	}
}

// push delivers p, and again each minute while the store does not take it; done is
// called once it has.
func (w *week) push(p wechat.Push, done func()) {
	deliver := func() bool {
		if w.broker.HandlePush(context.Background(), p) != nil {
			return false
		}
		if done != nil {
			done()
		}
		return true
	}
	if !deliver() {
		w.later(time.Minute, deliver)
	}
}

// spoil makes the tokens of one appid worthless behind the broker's back, or those of one
// component for it.
func (w *week) spoil() {
	s := w.subjects[w.dice.IntN(len(w.subjects))]
	if w.chance(20) {
		s = w.subjects[w.dice.IntN(len(weekComponents))]
	}
	now := time.Now()
	if !s.hurt.IsZero() && now.Sub(s.hurt) < recovery+overlap {
		return // a sidecar need not keep pace with somebody who displaces at will
	}
	same := func(other *subject) bool { return other.key.AppID == s.key.AppID }
	switch w.dice.IntN(4) {
	case 0:
		w.sim.Displace(s.key.AppID)
	case 1:
		w.sim.DisplaceWithOverlap(s.key.AppID)
		now = now.Add(overlap)
	case 2:
		w.sim.ExpireToken(s.key.AppID)
	case 3:
		w.sim.DisplaceAuthorizer(s.key.Component, s.key.AppID)
		same = s.sharesAccount
	}
	for _, other := range w.subjects {
		if same(other) {
			other.hurt = now
		}
	}
}

// strike spoils a token and makes the first renewal fail.
func (w *week) strike() {
	s := w.anyMerchant()
	if !s.hurt.IsZero() || s.revoked || s.void || s.armed {
		return
	}
	modes := wechattest.Modes()
	w.sim.Fault(authorizerPath, wechattest.Fault{
		AppID: s.key.AppID, Component: s.key.Component, Mode: modes[w.dice.IntN(len(modes))], Effect: w.chance(2), Times: 1,
	})
	w.sim.DisplaceAuthorizer(s.key.Component, s.key.AppID)
	s.hurt, s.armed = time.Now(), true
}

// process restarts the broker, and takes its store away.
func (w *week) process() {
	now := time.Now()
	switch {
	case now.Before(w.trouble.storeUntil):
	case w.trouble.what == noTicket && now.Before(w.trouble.until): // which a push that is not taken would prolong
	case w.chance(250):
		w.restart()
		w.restarted = now
	case w.chance(250):
		d := w.upTo(25 * time.Minute)
		w.disk.down.Store(true)
		w.trouble.storeUntil = now.Add(d)
		w.later(d, func() bool { w.disk.down.Store(false); return true })
	}
}
