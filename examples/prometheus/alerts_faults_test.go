package prometheus

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

func hangUp(s *sidecar) { s.signal(syscall.SIGHUP) }

func cleared(s *sidecar) {
	s.sim.ClearFaults()
	hangUp(s)
}

// working is a sidecar that is well before something happens.
func working(happen func(s *sidecar)) func(*sidecar, *watcher) {
	return func(s *sidecar, _ *watcher) {
		s.pushes()
		s.well()
		happen(s)
	}
}

// share gives a sidecar a store in Redis.
func (s *sidecar) share(url string) {
	s.t.Helper()
	key := s.dir + "/key"
	if err := os.WriteFile(key, []byte(strings.Repeat("1", 64)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.configure(storeLine.ReplaceAllLiteralString(readText(s.t, s.config), fmt.Sprintf("store: %q\nseal: {key_file: %q}", url, key)))
}

var storeLine = regexp.MustCompile(`(?m)^store: .*$`)

// faults are what happens to sidecars, each to one of its own.
func faults(t *testing.T) []fault {
	redis, other := redistest.Start(t, redistest.Options{AOF: true}), redistest.Start(t, redistest.Options{AOF: true})
	way := redistest.NewLink(t, redis.Addr())
	var silent func()
	return []fault{
		{
			name: "forged", life: life,
			prepare: func(s *sidecar) { s.replace("push_token: "+pushToken, "push_token: anotherPushToken") },
			happen:  func(s *sidecar, _ *watcher) { s.pushes() },
			alerts:  []string{"WxsidecarNoTicket", "WxsidecarPushesRefused"},
			cure:    func(s *sidecar) { s.replace("push_token: anotherPushToken", "push_token: "+pushToken) },
		},
		{
			name: "silent", life: life,
			happen: func(s *sidecar, _ *watcher) {
				stop := s.pushes()
				s.well()
				stop()
				silent = func() { s.pushes() }
			},
			alerts: []string{"WxsidecarTicketOld"}, cure: func(*sidecar) { silent() },
		},
		{
			name: "secret", life: life / 2,
			happen: working(func(s *sidecar) {
				s.sim.Fault("/cgi-bin/component/api_component_token", wechattest.Fault{Errcode: 40125})
			}),
			alerts: []string{"WxsidecarHiddenTrouble", "WxsidecarTokenDiesSoon", "WxsidecarMisconfigured"}, cure: cleared,
		},
		{
			name: "moody", life: life / 2,
			happen: working(func(s *sidecar) {
				s.sim.Fault("/cgi-bin/component/api_component_token", wechattest.Fault{Errcode: -1})
			}),
			alerts: []string{"WxsidecarRenewalsRetried", "WxsidecarTokenMissing"}, cure: cleared,
		},
		{
			name: "outage", life: life,
			happen: working(func(s *sidecar) {
				s.calls(100*time.Millisecond, menuPath, ownOne)
				if err := s.sim.Outage(true); err != nil {
					s.t.Fatal(err)
				}
			}),
			alerts: []string{"WxsidecarWeChatUnreachable", "WxsidecarUpstreamErrors", "WxsidecarAppErrors"},
			cure: func(s *sidecar) {
				if err := s.sim.Outage(false); err != nil {
					s.t.Fatal(err)
				}
			},
		},
		{
			name: "merchants", life: life,
			happen: working(func(s *sidecar) {
				for _, appID := range s.merchants {
					s.sim.VoidRefreshToken(component, appID)
					s.sim.ExpireToken(appID)
					s.calls(time.Second, menuPath, appID)
				}
			}),
			alerts: []string{"WxsidecarMerchantsLost", "WxsidecarManyMerchantsLost"},
			cure: func(s *sidecar) {
				for _, appID := range s.merchants {
					event := s.sim.AuthorizedEvent(appID, s.sim.Authorize(component, appID), true)
					if err := s.sim.Push(s.t.Context(), component, event); err != nil {
						s.t.Error(err)
					}
				}
			},
		},
		{
			name: "displaced", life: life,
			happen: working(func(s *sidecar) {
				s.keep(20*time.Millisecond, func() {
					s.sim.Displace(s.merchants[0])
					s.call(shopKey, "GET", menuPath, s.merchants[0])
				})
			}),
			alerts: []string{"WxsidecarDisplaced"}, cure: (*sidecar).rest,
		},
		{
			name: "quota", life: life,
			prepare: func(s *sidecar) {
				s.sim.Fault("/cgi-bin/stable_token", wechattest.Fault{AppID: ownOne, Errcode: 45009})
				s.sim.Fault("/cgi-bin/user/get", wechattest.Fault{Errcode: 45009})
			},
			happen: func(s *sidecar, _ *watcher) { s.calls(500*time.Millisecond, "/cgi-bin/user/get", ownTwo) },
			alerts: []string{"WxsidecarQuotaExhausted", "WxsidecarCallQuota"}, cure: cleared,
		},
		{
			name: "events", life: life,
			prepare: func(s *sidecar) {
				s.configure(readText(s.t, s.config) + "limits: {outbox: 2KiB}\n")
				s.appFails.Store(true)
			},
			happen: working(func(s *sidecar) {
				s.keep(500*time.Millisecond, func() {
					if !s.appFails.Load() {
						return
					}
					_, _ = s.sim.PushMessage(s.t.Context(), component, s.merchants[0], wechattest.Message{MsgType: "text", Content: "1"})
					event := s.sim.AuthorizedEvent(s.merchants[1], s.sim.Authorize(component, s.merchants[1]), true)
					if sealed, err := s.sim.Seal(component, event); err == nil {
						_, _ = s.sim.Deliver(s.t.Context(), component, sealed)
					}
				})
			}),
			alerts: []string{"WxsidecarEventsWait", "WxsidecarEventsDropped", "WxsidecarPushesFailed", "WxsidecarMessagesUnanswered", "WxsidecarLimitNearlyFull"},
			cure:   func(s *sidecar) { s.appFails.Store(false) },
		},
		{
			name: "clock", life: life / 2,
			happen: working(func(s *sidecar) { s.sim.SkewDate(3 * time.Minute) }),
			alerts: []string{"WxsidecarClockWrong"}, cure: func(s *sidecar) { s.sim.SkewDate(0) },
		},
		{
			name: "limits", life: life,
			prepare: func(s *sidecar) { s.configure(readText(s.t, s.config) + "limits: {max_inflight: 3}\n") },
			happen: working(func(s *sidecar) {
				s.sim.Fault("/cgi-bin/tags/get", wechattest.Fault{Mode: wechattest.Hang})
				for range 4 {
					s.calls(100*time.Millisecond, "/cgi-bin/tags/get", ownOne)
				}
			}),
			alerts: []string{"WxsidecarLimitNearlyFull", "WxsidecarLimitReached"},
			cure: func(s *sidecar) {
				cleared(s)
				s.rest()
			},
		},
		{
			name: "slow", life: life,
			happen: working(func(s *sidecar) {
				s.sim.Fault(menuPath, wechattest.Fault{Latency: 3 * time.Second})
				// One after the other, not in batches, between which nothing would be measured.
				var calls sync.WaitGroup
				s.t.Cleanup(calls.Wait)
				s.keep(200*time.Millisecond, func() {
					calls.Go(func() { s.call(shopKey, "GET", menuPath, ownOne) })
				})
			}),
			alerts: []string{"WxsidecarUpstreamSlow"}, cure: cleared,
		},
		{
			name: "refused", life: life,
			happen: working(func(s *sidecar) {
				s.keep(50*time.Millisecond, func() { s.call("nobodys-key", "GET", menuPath, ownOne) })
			}),
			alerts: []string{"WxsidecarCallerRefused"}, cure: (*sidecar).rest,
		},
		{
			name: "reload", life: life,
			happen: working(func(s *sidecar) { s.replace("upstream:", "nonsense: 1\nupstream:") }),
			alerts: []string{"WxsidecarReloadFailed"}, cure: func(s *sidecar) { s.replace("nonsense: 1\n", "") },
		},
		{
			name: "restarts", life: life,
			happen: func(s *sidecar, w *watcher) {
				started := func() string {
					for _, r := range w.p.query(`process_start_time_seconds{instance="restarts"}`) {
						return fmt.Sprint(r.Value[1])
					}
					return ""
				}
				for range 4 {
					before := ""
					until(s.t, "a start is seen", func() bool { before = started(); return before != "" })
					s.end(os.Kill)
					s.start()
					until(s.t, "the next start is seen", func() bool { now := started(); return now != "" && now != before })
				}
				s.end(os.Kill)
			},
			alerts: []string{"WxsidecarDown", "WxsidecarRestarting"}, cure: func(s *sidecar) { s.start() },
		},
		{
			name: "shared", life: life / 2,
			prepare: func(s *sidecar) { s.share(redis.URLVia(way.Addr())) },
			happen:  working(func(*sidecar) { way.Refuse(true) }),
			alerts:  []string{"WxsidecarSharedStoreDown", "WxsidecarStoreErrors", "WxsidecarUnsavedTokens"},
			cure:    func(*sidecar) { way.Heal() },
		},
		{
			name: "emptied", life: life / 2,
			prepare: func(s *sidecar) { s.share(other.URL()) },
			happen: working(func(s *sidecar) {
				s.keep(2*time.Second, func() {
					if _, err := other.Do("FLUSHALL"); err != nil {
						s.t.Error(err)
					}
				})
			}),
			alerts: []string{"WxsidecarStoreLostRecords"}, cure: (*sidecar).rest,
		},
	}
}
