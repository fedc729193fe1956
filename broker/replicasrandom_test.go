package broker_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// TestReplicas_Random has three replicas live for a day in which one or all of them lose the
// store, the store loses everything, a replica restarts, WeChat is slow, somebody outside renews,
// and merchants come and go. No call fails that a fresh token would have cured, WeChat sees no
// refresh token older than one that all can know of, and in the end all agree.
func TestReplicas_Random(t *testing.T) {
	for _, seed := range seeds(t, 4, 40) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			o := worldOptions{merchants: 5, own: true, sim: rotating}
			o.sim.Seed = seed
			inFleet(t, 3, o, func(f *fleet) {
				f.partitioned = true
				day := &randomDay{fleet: f, r: rand.New(rand.NewPCG(seed, 1)), down: map[int]time.Time{}}
				day.run(24 * time.Hour)
			})
		})
	}
}

// randomDay is the life of a fleet.
type randomDay struct {
	*fleet
	r    *rand.Rand
	down map[int]time.Time // views that are cut off, and until when
	gone bool              // the first merchant took the authorization back
	said []string          // what happened, for a failure
}

func (d *randomDay) run(long time.Duration) {
	d.Helper()
	keys := append(crowd{n: 5}.keys(), ownKey, platformKey)
	began := time.Now()
	d.live(keys, time.Minute, time.Minute)
	for time.Since(began) < long {
		d.heal(false)
		if d.r.IntN(12) == 0 {
			d.happen()
		}
		if int(time.Since(began).Minutes())%10 == 0 {
			d.pushAnywhere()
		}
		d.callAll(keys)
		if d.Failed() {
			for _, s := range d.said {
				d.Log(s)
			}
			return
		}
		pass(time.Minute)
	}
	d.heal(true)
	d.sim.ClearFaults()
	pass(5 * time.Minute)
	d.pushAnywhere()
	if d.gone {
		d.all[0].authorize(merchant(0))
		d.gone = false
		pass(time.Minute)
	}
	d.live(keys, 10*time.Minute, time.Minute)
	for _, key := range keys {
		d.agree(key)
	}
}

// callAll has each replica call each key.
func (d *randomDay) callAll(keys []broker.Key) {
	d.Helper()
	for _, key := range keys {
		for i, w := range d.all {
			code, err := w.call(key)
			var state *broker.StateError
			switch {
			case d.gone && key.AppID == merchant(0) && (errors.As(err, &state) || wechat.Stale(code) || code != 0):
			case code != 0 || err != nil:
				d.Errorf("%s: replica %d: call of %s: errcode %d, %v", d.at(), i, key, code, err)
			}
		}
	}
}

func (d *randomDay) at() string { return time.Now().Format(time.TimeOnly) }

func (d *randomDay) note(format string, args ...any) {
	d.said = append(d.said, d.at()+" "+fmt.Sprintf(format, args...))
}

// heal ends the partitions that have lasted their time, or all.
func (d *randomDay) heal(all bool) {
	for i, until := range d.down {
		if all || !time.Now().Before(until) {
			d.views[i].Down(nil)
			delete(d.down, i)
			d.note("replica %d has the store again", i)
		}
	}
}

// happen is one thing that goes wrong.
func (d *randomDay) happen() {
	i := d.r.IntN(len(d.views))
	switch d.r.IntN(8) {
	case 0:
		d.cut(i, time.Duration(1+d.r.IntN(40))*time.Minute)
	case 1:
		until := time.Duration(1+d.r.IntN(50)) * time.Minute
		for i := range d.views {
			d.cut(i, until)
		}
	case 2:
		d.base.Empty()
		d.note("the store was emptied")
	case 3:
		d.restart(i)
	case 4:
		appID := merchant(d.r.IntN(5))
		d.sim.DisplaceWithOverlap(appID)
		d.note("somebody outside renewed %s", appID)
	case 5:
		d.sim.ClearFaults()
		d.sim.Fault("/cgi-bin/component/*", wechattest.Fault{Latency: 300 * time.Millisecond})
		d.note("WeChat is slow")
	case 6:
		d.sim.ClearFaults()
		d.note("WeChat is quick")
	default:
		if len(d.down) == 0 {
			d.comeOrGo(i)
		}
	}
}

func (d *randomDay) cut(i int, long time.Duration) {
	d.views[i].Down(errPartition)
	d.down[i] = time.Now().Add(long)
	d.note("replica %d loses the store for %s", i, long)
}

// restart stops a replica in order and starts it again, unless it has no store.
func (d *randomDay) restart(i int) {
	if _, down := d.down[i]; down {
		return
	}
	w := d.byView(i)
	w.halt()
	d.views[i] = d.base.Shared(fmt.Sprint("replica-", i))
	w.store = d.views[i]
	w.start()
	d.note("replica %d restarted", i)
}

// byView returns the replica that has that view: the order of all changes.
func (d *randomDay) byView(i int) *world {
	for _, w := range d.all {
		if w.store == d.views[i] {
			return w
		}
	}
	d.Fatalf("no replica has view %d", i)
	return nil
}

// comeOrGo has the first merchant take the authorization back, or authorise again.
func (d *randomDay) comeOrGo(i int) {
	w := d.byView(i)
	if d.gone {
		w.authorize(merchant(0))
		pass(10 * time.Second)
		d.gone = false
		d.note("the first merchant authorised again")
		return
	}
	d.gone = true
	d.sim.Revoke(componentID, merchant(0))
	w.revoke(merchant(0), time.Now())
	synctest.Wait()
	d.note("the first merchant took the authorization back")
}

// pushAnywhere has WeChat push a ticket to some replica that can keep it, if there is one.
func (d *randomDay) pushAnywhere() {
	for i := range d.views {
		if _, down := d.down[i]; !down {
			d.byView(i).ticket()
			return
		}
	}
}
