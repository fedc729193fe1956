package broker_test

import (
	"slices"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

var weekComponents = [...]string{componentID, otherComponentID}

// second adds a second component, which some of those merchants that are always busy have
// authorised as well.
func (w *week) second() {
	w.t.Helper()
	w.sim.AddComponent(wechattest.Component{AppID: otherComponentID, Secret: appSecret})
	w.opts.Components = append(w.opts.Components, broker.ComponentConfig{AppID: otherComponentID, Secret: secret.New(appSecret)})
	all := w.subjects
	w.subjects = nil
	w.enrol(broker.Key{Kind: broker.KindComponent, AppID: otherComponentID})
	for i := range 20 {
		w.sim.AddAuthorizer(otherComponentID, merchant(i))
		w.enrol(authorizerOf(otherComponentID, merchant(i)))
	}
	for i := range 5 {
		w.enrol(broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(i), Component: otherComponentID})
	}
	if err := w.broker.SetConfig(w.opts.Components, w.opts.Accounts); err != nil {
		w.t.Fatal(err)
	}
	w.mustPush(w.newTicket(otherComponentID))
	pass(time.Second)
	w.callAll()
	w.subjects = slices.Insert(all, 1, w.subjects...)
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
		w.sim.RotateRefreshToken(s.key.Component, appID)
	case act == 3 && w.chance(4):
		w.sim.VoidRefreshToken(s.key.Component, appID)
		w.forAccount(s, func(s *subject) { s.void = true })
	case act == 4 && w.chance(2):
		w.agenda.newest++
		w.authorizes(w.enrol(authorizerKey(merchant(weekMerchants+w.agenda.newest))), false)
	case act == 5 && w.chance(4):
		key := authorizerOf(otherComponentID, appID)
		if !slices.ContainsFunc(w.subjects, func(s *subject) bool { return s.key == key }) {
			w.authorizes(w.enrol(key), false)
		}
	}
}

// sharesAccount reports whether both are keys of one account, and of one component.
func (s *subject) sharesAccount(other *subject) bool {
	return s.key.AppID == other.key.AppID && s.key.Component == other.key.Component
}

func (w *week) forAccount(of *subject, f func(*subject)) {
	for _, s := range w.subjects {
		if s.sharesAccount(of) {
			f(s)
		}
	}
}

// authorizes lets a merchant authorise, anew or again. lost: the event is.
func (w *week) authorizes(s *subject, lost bool) {
	appID, now := s.key.AppID, time.Now()
	code := w.sim.Authorize(s.key.Component, appID)
	w.forAccount(s, func(s *subject) {
		s.revoked, s.void = false, false
		s.changed(newsTime)
	})
	if lost {
		return
	}
	p := wechat.Push{
		ID: "a" + code, Component: s.key.Component, InfoType: wechat.InfoUpdateAuthorized, CreateTime: now,
		AuthorizerAppID: appID, Code: secret.New(code), CodeExpires: now.Add(10 * time.Minute),
	}
	w.deliverLater(s, p)
}

func (w *week) revokes(s *subject, lost bool) {
	appID := s.key.AppID
	w.sim.Revoke(s.key.Component, appID)
	w.forAccount(s, func(s *subject) {
		s.revoked = true
		s.changed(newsTime)
	})
	if !lost {
		w.deliverLater(s, wechat.Push{
			ID: "u" + time.Now().String(), Component: s.key.Component, InfoType: wechat.InfoUnauthorized,
			CreateTime: time.Now(), AuthorizerAppID: appID,
		})
	}
}

// deliverLater delivers an event within some minutes, perhaps after a later one.
func (w *week) deliverLater(s *subject, p wechat.Push) {
	w.forAccount(s, func(s *subject) { s.heard = time.Now().Add(longAfter) })
	w.later(w.upTo(3*time.Minute), func() bool {
		w.push(p, func() {
			w.forAccount(s, func(s *subject) { s.heard = time.Time{}; s.changed(newsTime) })
		})
		return true
	})
}
