package broker

import (
	"context"
	"errors"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// probeInterval is how often WeChat is asked whether it is back.
const probeInterval = 2 * time.Second

// pause stops all renewals because WeChat answered nothing, and has the watcher
// look for its return.
func (b *Broker) pause(err *wechat.NoAnswerError) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused {
		return
	}
	b.paused, b.proxyFault = true, ""
	b.noteProxy(err)
	b.metrics.Paused(true)
	select {
	case b.silence <- struct{}{}:
	default:
	}
}

// watch probes WeChat, without a token, while it answers nothing, and lets the
// renewals go on at its return. It also probes once at the start, to learn the
// skew of the clocks before a token is judged by ours alone.
func (b *Broker) watch(ctx context.Context) {
	_ = b.wechat.Probe(ctx) // a failure shows at the first renewal
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.silence:
		}
		failed, ok := b.awaitReturn(ctx)
		if !ok {
			return
		}
		b.resume(failed > 0)
	}
}

// awaitReturn probes until WeChat answers, and returns how many probes failed.
func (b *Broker) awaitReturn(ctx context.Context) (failed int, ok bool) {
	said := ""
	for {
		probe, cancel := context.WithTimeout(ctx, probeInterval)
		err := b.wechat.Probe(probe)
		late := probe.Err() != nil
		cancel()
		if err == nil {
			return failed, true
		}
		if who := b.whoIsSilent(err, late); who != said {
			said = who
			var silent *wechat.NoAnswerError
			if errors.As(err, &silent) {
				err = silent.Err // which path the probe asked for helps nobody
			}
			b.log.Warn(who+"; renewals wait for its return, living tokens are served", "error", err)
		}
		failed++
		select {
		case <-ctx.Done():
			return failed, false
		case <-time.After(probeInterval):
		}
	}
}

// whoIsSilent says after a probe who it is that does not answer, WeChat or the way to
// it, and remembers that. A probe that was late does not know; then what was known
// before counts.
func (b *Broker) whoIsSilent(probe error, late bool) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var silent *wechat.NoAnswerError
	if !late && errors.As(probe, &silent) {
		b.proxyFault = ""
		b.noteProxy(silent)
	}
	if b.proxyFault != "" {
		return behindProxy
	}
	return "WeChat does not answer"
}

// noteProxy remembers that it is the way out that fails. Broker.mu is held.
func (b *Broker) noteProxy(err *wechat.NoAnswerError) {
	if err.Proxy {
		b.proxyFault = err.Err.Error()
	}
}

const behindProxy = "WeChat cannot be asked, as upstream.proxy does not let us through"

// pauseReason says why nothing is renewed. Broker.mu is held.
func (b *Broker) pauseReason() string {
	if b.proxyFault != "" {
		return behindProxy + ": " + b.proxyFault
	}
	return "WeChat does not answer; renewals wait for its return"
}

// resume lets renewals go on. After a real outage those that it made fail are due
// at once; if WeChat answered the first probe, it is only one path that hangs,
// and the keys keep their backoff.
func (b *Broker) resume(outage bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = false
	b.metrics.Paused(false)
	if outage {
		b.log.Info("WeChat answers again; renewals go on")
		b.afterOutage()
	}
	for appID := range b.configured() {
		b.attend(appID) // whatever was put off meanwhile
	}
	b.wakeUp()
}

// freedAgain is how soon after one return of WeChat another has a key tried ahead of
// its backoff: a WeChat that comes and goes must not be asked each time.
const freedAgain = 75 * time.Second

// afterOutage has those tried that found WeChat silent. Broker.mu is held.
func (b *Broker) afterOutage() {
	now := b.clock.Now()
	for _, e := range b.active {
		if e.cond.silent && e.queue != nil && now.Sub(e.freed).Abs() >= freedAgain {
			e.freed, e.cond.notBefore = now, time.Time{}
			b.place(e, e.cond.notBefore, e.waiters > 0)
		}
	}
	for _, c := range b.configured() {
		if now.Sub(c.freed).Abs() >= askInterval {
			c.freed, c.vain = now, time.Time{}
		}
	}
}
