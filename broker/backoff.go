package broker

import (
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// backoff returns how long to wait after so many failures in a row, for a token
// of that life: 1, 5, 20, then 75 to 105 seconds, by r within [0, 1).
func backoff(failures int, life time.Duration, r float64) time.Duration {
	steps := []time.Duration{time.Second, 5 * time.Second, 20 * time.Second}
	d := 75*time.Second + time.Duration(r*float64(30*time.Second))
	if failures <= len(steps) {
		d = steps[max(failures, 1)-1]
	}
	return max(share(d, life), time.Second)
}

// untilQuotaProbe is an hour, or less if the day ends in China before.
func (v *env) untilQuotaProbe() time.Duration {
	now := v.clock.Now()
	spread := time.Duration(v.rand() * float64(time.Minute))
	return min(quotaProbe, chinaMidnight(now).Sub(now)+spread)
}

// pauseAfter returns how long to leave alone what WeChat has answered with err, as
// so many times in a row before.
func (v *env) pauseAfter(err error, failures int) time.Duration {
	if wechat.Code(err) == wechat.CodeQuotaExhausted {
		return v.untilQuotaProbe()
	}
	return backoff(failures, fullLife, v.rand())
}
