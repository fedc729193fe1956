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
	ticket  time.Time // the next push
	drought time.Time // until when pushes are lost
	arrived time.Time // the last push
	calm    time.Time // until when WeChat does not fail
	newest  int       // merchant
}

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
	w.pushTicket()
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

// pushTicket pushes each ten minutes; three in ten are lost, and now and then all of some
// hours, but not of so many in turn that the last ticket's life of twelve ends.
func (w *week) pushTicket() {
	now := time.Now()
	if now.Before(w.agenda.ticket) {
		return
	}
	w.agenda.ticket = now.Add(10 * time.Minute)
	if w.chance(100) {
		if d := w.upTo(6 * time.Hour); now.Sub(w.agenda.arrived) < time.Hour {
			w.agenda.drought = now.Add(d)
		}
	}
	if now.Before(w.agenda.drought) || w.dice.IntN(10) < 3 {
		return
	}
	w.agenda.arrived = now
	w.push(wechat.Push{
		ID: "t" + now.String(), Component: componentID, InfoType: wechat.InfoTicket,
		CreateTime: now, Ticket: secret.New(w.sim.NewTicket(componentID)),
	}, nil)
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

// spoil makes the tokens of one appid worthless behind the broker's back.
func (w *week) spoil() {
	s := w.subjects[w.dice.IntN(len(w.subjects))]
	if w.chance(20) {
		s = w.subjects[0] // the component
	}
	now := time.Now()
	if !s.hurt.IsZero() && now.Sub(s.hurt) < recovery+overlap {
		return // a sidecar need not keep pace with somebody who displaces at will
	}
	switch w.dice.IntN(3) {
	case 0:
		w.sim.Displace(s.key.AppID)
	case 1:
		w.sim.DisplaceWithOverlap(s.key.AppID)
		now = now.Add(overlap)
	case 2:
		w.sim.ExpireToken(s.key.AppID)
	}
	for _, other := range w.subjects {
		if other.key.AppID == s.key.AppID {
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
		AppID: s.key.AppID, Mode: modes[w.dice.IntN(len(modes))], Effect: w.chance(2), Times: 1,
	})
	w.sim.Displace(s.key.AppID)
	s.hurt, s.armed = time.Now(), true
}

// begin lets WeChat fail for up to 25 minutes.
func (w *week) begin() {
	now := time.Now()
	d := w.upTo(25 * time.Minute)
	paths := []string{"/cgi-bin/component/*", stablePath, jsapiPath}
	all := func(f wechattest.Fault) {
		for _, path := range paths {
			w.sim.Fault(path, f)
		}
	}
	t := trouble{storeUntil: w.trouble.storeUntil}
	end := w.sim.ClearFaults
	share := []float64{0, 0.3, 0.7}[w.dice.IntN(3)]
	switch w.dice.IntN(6) {
	case 0:
		t.what = "silence"
		f := wechattest.Fault{Mode: []wechattest.Mode{wechattest.Refuse, wechattest.ResetBefore, wechattest.Hang}[w.dice.IntN(3)]}
		w.sim.Fault("/", f)
		all(f)
	case 1:
		t.what = "errors"
		all([]wechattest.Fault{
			{Errcode: -1, Probability: share}, {Status: 502, Probability: share}, {Status: 429, Probability: share},
		}[w.dice.IntN(3)])
	case 2:
		t.what = "garbage"
		modes := []wechattest.Mode{wechattest.HTML, wechattest.Empty, wechattest.BadJSON, wechattest.NullJSON, wechattest.Close}
		all(wechattest.Fault{Mode: modes[w.dice.IntN(len(modes))], Probability: share})
	case 3:
		t.what, t.spoils = "spoilt answers", true
		modes := wechattest.Modes()
		all(wechattest.Fault{Mode: modes[w.dice.IntN(len(modes))], Effect: true, Probability: share})
	case 4:
		t.what, t.spoils = "another address", true
		w.sim.RefuseIP(componentID, true)
		end = func() { w.sim.RefuseIP(componentID, false) }
	case 5: // is no trouble, and excuses nothing
		all(wechattest.Fault{Latency: w.upTo(time.Second / 2)}) // seven calls in turn are within a caller's patience
	}
	if t.what != "" {
		t.until = now.Add(100 * 24 * time.Hour) // until it is over
		w.trouble = t
	}
	w.agenda.calm = now.Add(d + 40*time.Minute)
	w.later(d, func() bool {
		end()
		w.mu.Lock()
		defer w.mu.Unlock()
		if t.what != "" {
			w.trouble.until = time.Now()
		}
		for _, s := range w.subjects {
			if t.spoils {
				s.hurt = time.Now().Add(overlap) // a successor may have been issued and lost
			}
		}
		if t.what == "another address" {
			w.trouble.until = w.trouble.until.Add(3 * time.Minute) // only a person cures it, so it is asked less often
		}
		return true
	})
}

// merchantActs lets a merchant, or WeChat, change an authorization.
func (w *week) merchantActs() {
	s := w.anyMerchant()
	appID := s.key.AppID
	switch act := w.dice.IntN(6); {
	case s.revoked || s.void || act == 0:
		w.authorizes(s, w.chance(3))
	case act == 1:
		w.revokes(s, w.chance(3))
	case act == 2:
		w.sim.RotateRefreshToken(componentID, appID)
	case act == 3 && w.chance(4):
		w.sim.VoidRefreshToken(componentID, appID)
		w.forAppID(appID, func(s *subject) { s.void = true })
	case act == 4 && w.chance(2):
		w.agenda.newest++
		w.authorizes(w.enrol(authorizerKey(merchant(weekMerchants+w.agenda.newest))), false)
	}
}

func (w *week) forAppID(appID string, f func(*subject)) {
	for _, s := range w.subjects {
		if s.key.AppID == appID {
			f(s)
		}
	}
}

// authorizes lets a merchant authorise, anew or again. lost: the event is.
func (w *week) authorizes(s *subject, lost bool) {
	appID, now := s.key.AppID, time.Now()
	code := w.sim.Authorize(componentID, appID)
	w.forAppID(appID, func(s *subject) {
		s.revoked, s.void = false, false
		s.changed(newsTime)
	})
	if lost {
		return
	}
	p := wechat.Push{
		ID: "a" + code, Component: componentID, InfoType: wechat.InfoUpdateAuthorized, CreateTime: now,
		AuthorizerAppID: appID, Code: secret.New(code), CodeExpires: now.Add(10 * time.Minute),
	}
	w.deliverLater(appID, p)
}

func (w *week) revokes(s *subject, lost bool) {
	appID := s.key.AppID
	w.sim.Revoke(componentID, appID)
	w.forAppID(appID, func(s *subject) {
		s.revoked = true
		s.changed(newsTime)
	})
	if !lost {
		w.deliverLater(appID, wechat.Push{
			ID: "u" + time.Now().String(), Component: componentID, InfoType: wechat.InfoUnauthorized,
			CreateTime: time.Now(), AuthorizerAppID: appID,
		})
	}
}

// deliverLater delivers an event within some minutes, perhaps after a later one.
func (w *week) deliverLater(appID string, p wechat.Push) {
	w.forAppID(appID, func(s *subject) { s.heard = time.Now().Add(100 * 24 * time.Hour) })
	w.later(w.upTo(3*time.Minute), func() bool {
		w.push(p, func() {
			w.forAppID(appID, func(s *subject) { s.heard = time.Time{}; s.changed(newsTime) })
		})
		return true
	})
}

// process restarts the broker, and takes its store away.
func (w *week) process() {
	now := time.Now()
	switch {
	case now.Before(w.trouble.storeUntil):
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
