package broker_test

import (
	"context"
	"slices"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	longAfter = 100 * 24 * time.Hour
	noTicket  = "no ticket"
)

func (w *week) anyComponent() int { return w.dice.IntN(len(weekComponents)) }

// begin lets WeChat fail for up to 25 minutes, everybody or one component.
func (w *week) begin() {
	now, d := time.Now(), w.upTo(25*time.Minute)
	t := trouble{storeUntil: w.trouble.storeUntil}
	fail := w.fail
	if w.chance(2) {
		fail = w.failOne
	}
	over := fail(&t)
	if t.what != "" {
		t.until = now.Add(longAfter) // until it is over
		w.trouble = t
	}
	w.agenda.calm = now.Add(d + 40*time.Minute)
	w.later(d, func() bool { return over() && w.ended(t) })
}

// ended notes that t is over.
func (w *week) ended(t trouble) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.what != "" {
		w.trouble.until = time.Now()
	}
	for _, s := range w.subjects {
		if t.spoils && t.meets(s.key) {
			s.hurt = time.Now().Add(overlap) // a successor may have been issued and lost
		}
		if t.what == "not configured" && t.meets(s.key) {
			s.used = time.Time{} // nobody holds it in memory
		}
	}
	if t.what == "another address" {
		w.trouble.until = w.trouble.until.Add(3 * time.Minute) // only a person cures it, so it is asked less often
	}
	return true
}

// fail has WeChat fail everybody, or one component, says what that is, and returns what
// ends it: false for not yet.
func (w *week) fail(t *trouble) (over func() bool) {
	if w.chance(3) {
		t.component = weekComponents[w.anyComponent()]
	}
	all := func(f wechattest.Fault) {
		f.Component = t.component
		for _, path := range []string{"/cgi-bin/component/*", stablePath, jsapiPath} {
			w.sim.Fault(path, f)
		}
	}
	share := []float64{0, 0.3, 0.7}[w.dice.IntN(3)]
	switch w.dice.IntN(5) {
	case 0:
		t.what = "silence"
		f := wechattest.Fault{Mode: []wechattest.Mode{wechattest.Refuse, wechattest.ResetBefore, wechattest.Hang}[w.dice.IntN(3)]}
		if t.component == "" {
			w.sim.Fault("/", f)
		}
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
	case 4: // is no trouble, and excuses nothing
		all(wechattest.Fault{Latency: w.upTo(time.Second / 2)}) // seven calls in turn are within a caller's patience
	}
	return w.clearFaults
}

func (w *week) clearFaults() bool {
	w.sim.ClearFaults()
	return true
}

// failOne is fail for what by its nature meets one component alone.
func (w *week) failOne(t *trouble) (over func() bool) {
	i := w.anyComponent()
	t.component = weekComponents[i]
	switch w.dice.IntN(5) {
	case 0: // what dies meanwhile is renewed by nobody, and what was not saved is lost, as in a restart
		all := w.opts.Components
		if !t.storeFelt(time.Now()) && w.configure(slices.Delete(slices.Clone(all), i, i+1)) {
			t.what, t.spoils = "not configured", true
		}
		return func() bool { return w.configure(all) }
	case 1:
		t.what, t.spoils = "another address", true
		w.sim.RefuseIP(t.component, true)
		return func() bool {
			w.sim.RefuseIP(t.component, false)
			return true
		}
	case 2:
		t.what = "no list"
		w.sim.Fault(listPath, wechattest.Fault{Component: t.component, Errcode: -1})
		return w.clearFaults
	case 3: // and an operator has it cleared, in time for those that are due
		t.what = "quota"
		share := []float64{0, 0.3, 0.7}[w.dice.IntN(3)]
		w.sim.Fault(authorizerPath, wechattest.Fault{Component: t.component, Errcode: 45009, Probability: share})
		return func() bool {
			w.sim.ClearFaults()
			w.broker.Admin().ResetBudgets()
			return true
		}
	default:
		t.what = noTicket
		w.sim.ExpireTickets(t.component)
		w.sim.Displace(t.component)
		w.subjects[i].hurt = time.Now()
		w.agenda.tickets[i].drought = time.Now().Add(longAfter)
		return func() bool {
			if w.broker.HandlePush(context.Background(), w.newTicket(t.component)) != nil {
				return false
			}
			w.agenda.tickets[i].drought = time.Time{}
			return true
		}
	}
}

// configure changes which components there are, unless the store is down.
func (w *week) configure(components []broker.ComponentConfig) bool {
	if w.broker.SetConfig(components, w.opts.Accounts) != nil {
		return false
	}
	w.opts.Components = components
	return true
}
