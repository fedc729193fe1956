package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// probeInterval is how often WeChat is asked whether it is back.
const probeInterval = 2 * time.Second

// outage is a time in which WeChat answers nothing. The zero value is none.
type outage struct {
	paused bool
	since  time.Time
	proxy  bool   // the way out fails, and not WeChat
	fault  string // what was met instead of an answer, in the network's words
}

const behindProxy = "WeChat cannot be asked, as upstream.proxy does not let us through"

// reason says why nothing is renewed.
func (o outage) reason() string {
	if o.proxy {
		return behindProxy + ": " + o.fault
	}
	return "WeChat does not answer; renewals wait for its return"
}

// blame remembers whose fault err is: of WeChat, or of the way to it.
func (o *outage) blame(err *wechat.NoAnswerError) {
	o.proxy, o.fault = err.Proxy, err.Err.Error()
}

// pause stops all renewals because WeChat answered nothing, and has watch look for its
// return.
func (t *table) pause(err *wechat.NoAnswerError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outage.paused {
		return
	}
	t.outage.paused, t.outage.since = true, t.clock.Local()
	t.outage.blame(err)
	t.metrics.Paused(true)
	notify(t.outageBegan)
}

// pauseFor is pause if err is that WeChat did not answer.
func (t *table) pauseFor(err error) {
	var noAnswer *wechat.NoAnswerError
	if errors.As(err, &noAnswer) {
		t.pause(noAnswer)
	}
}

func (t *table) paused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outage.paused
}

// watch probes WeChat, without a token, while it answers nothing, and lets the
// renewals go on at its return. It also probes once at the start, to learn the
// skew of the clocks before a token is judged by ours alone.
func (t *table) watch(ctx context.Context) {
	_ = t.wechat.Probe(ctx) // a failure shows at the first renewal
	doubted, rested := t.doubted, (<-chan time.Time)(nil)
	for {
		select {
		case <-ctx.Done():
			return
		case <-rested:
			doubted, rested = t.doubted, nil
			continue
		case <-doubted:
			t.probe(ctx)
			doubted, rested = nil, time.After(probeInterval) // calls that fail are many
			continue
		case <-t.outageBegan:
		}
		failed, ok := t.awaitReturn(ctx)
		if !ok {
			return
		}
		t.resume(failed > 0)
	}
}

// probesOfDoubt is how often WeChat is asked at most where its Date is not what it was: as often
// as the clock wants witnesses.
const probesOfDoubt = 3

// probe asks whether WeChat answers, and what time it is, as a call of an app met no answer or
// another time. It begins an outage if WeChat does not answer, and gives up once another begins
// one: a probe that hangs must not put off the look for its end.
func (t *table) probe(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	for range probesOfDoubt {
		go func() { ended <- t.wechat.Probe(ctx) }()
		select {
		case err := <-ended:
			if err != nil && ctx.Err() == nil {
				t.pauseFor(err)
			}
			if err != nil || !t.clock.Disputed() {
				return
			}
		case <-t.outageBegan:
			notify(t.outageBegan) // for watch
			return
		}
	}
}

// awaitReturn probes until WeChat answers, and returns how many probes failed. The next one does
// not wait for the end of one that hangs: the first is answered in time by a WeChat that is slow, a
// new one soon by one that is back.
func (t *table) awaitReturn(ctx context.Context) (failed int, ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error)
	said := ""
	for {
		go func() {
			err := t.wechat.Probe(ctx)
			select {
			case ended <- err:
			case <-ctx.Done():
			}
		}()
		for rested := time.After(probeInterval); rested != nil; {
			select {
			case err := <-ended:
				if err == nil {
					return failed, true
				}
				failed++
				said = t.tellSilence(err, said)
			case <-rested:
				rested = nil
			case <-ctx.Done():
				return failed, false
			}
		}
	}
}

// tellSilence logs whose fault it is that a probe failed with err, unless that was said last. It
// returns whose it is.
func (t *table) tellSilence(err error, said string) string {
	who := t.whoIsSilent(err)
	var noAnswer *wechat.NoAnswerError
	if errors.As(err, &noAnswer) {
		err = noAnswer.Err // which path the probe asked for helps nobody
	}
	if who != said {
		t.log.Warn(who+"; renewals wait for its return, living tokens are served", "error", err)
	}
	return who
}

// whoIsSilent says after a probe who it is that does not answer, WeChat or the way to
// it, and remembers that. A probe whose time was up does not know; then what was known
// before counts.
func (t *table) whoIsSilent(probe error) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var noAnswer *wechat.NoAnswerError
	if errors.As(probe, &noAnswer) && !noAnswer.Timeout() {
		t.outage.blame(noAnswer)
	}
	if t.outage.proxy {
		return behindProxy
	}
	return "WeChat does not answer"
}

// resume lets renewals go on. After a real outage those that it made fail are due
// at once; if WeChat answered the first probe, it is only one path that hangs,
// and the keys keep their backoff.
func (t *table) resume(outage bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outage.paused, t.outage.since = false, time.Time{}
	t.metrics.Paused(false)
	if outage {
		t.log.Info("WeChat answers again; renewals go on")
		t.retryUnansweredLocked()
	}
	t.answered(outage) // whatever was put off meanwhile
	t.wakeUp()
}

// freedAgain is how soon after one return of WeChat another has a key tried ahead of
// its backoff: a WeChat that comes and goes must not be asked each time.
const freedAgain = 75 * time.Second

// retryUnansweredLocked has those tried that found WeChat silent.
func (t *table) retryUnansweredLocked() {
	now := t.clock.Now()
	for e := range t.entries.all() {
		if e.cond.noAnswer && e.queued.in != nil && now.Sub(e.mishapsLocked().freed.time()).Abs() >= freedAgain {
			e.makeMishapsLocked().freed = instantOf(now)
			t.changeLocked(e, event{kind: eventAnswered}, when{})
		}
	}
}

// outageFault returns what was met instead of WeChat's answer, and whether it is upstream.proxy
// that does not let us through; "" while renewals go on.
func (t *table) outageFault() (fault string, proxy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.outage.paused {
		return "", false
	}
	return t.outage.fault, t.outage.proxy
}
