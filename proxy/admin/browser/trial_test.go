package browser_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// trial is a fault, and what the page must say of it before anything else: the cause, the cure,
// and both in Chinese.
type trial struct {
	name    string
	prepare func(s *sidecar) // before the start
	happen  func(s *sidecar)
	ends    func(s *sidecar) error // and then nothing is wrong; nil where that is not tried
	cause   []string
	cures   []string
	chinese []string
}

// working is a sidecar that is well before something happens.
func working(happen func(*sidecar)) func(*sidecar) {
	return func(s *sidecar) {
		s.ticket()
		s.call(s.merchants[0])
		s.until("nothing is wrong", func() bool { return s.first("en") == "" })
		happen(s)
	}
}

func trials(t *testing.T) []trial {
	redis, away := redistest.Start(t, redistest.Options{}), redistest.Start(t, redistest.Options{})
	way := redistest.NewLink(t, away.Addr())
	nobody := programtest.FreePort(t)
	out := redistest.NewLink(t, connectProxy(t))
	return []trial{
		{
			name: "no ticket", happen: func(*sidecar) {},
			cause: []string{"Critical", "No ticket from WeChat", component}, cures: []string{"Have pushes reach POST /wechat/", "Ask for tickets"},
			chinese: []string{"没有收到微信的票据", "确认微信的推送能到达", "请求推送票据"},
		},
		{
			name: "wrong secret", prepare: func(s *sidecar) { s.secret = strings.Repeat("f", 32) },
			happen: func(s *sidecar) {
				s.until("a ticket is taken", func() bool { return s.sim.PushTicket(s.t.Context(), component) == nil })
			},
			cause: []string{"Critical", "The AppSecret is wrong", component}, cures: []string{"Set components[].secret to the AppSecret in open.weixin.qq.com"},
			chinese: []string{"AppSecret 不正确", "components[].secret", "open.weixin.qq.com"},
		},
		{
			name: "address not on the list", prepare: func(s *sidecar) { s.sim.RefuseIP(own, true) }, happen: (*sidecar).ticket,
			cause: []string{"Critical", "Our address is not on WeChat", own, "40164", "203.0.113.9"}, cures: []string{"Add the address that the message names to IP白名单 in mp.weixin.qq.com", "Try again now"},
			chinese: []string{"出口 IP 不在微信的白名单里", "IP白名单", "立即重试"},
		},
		{
			name: "merchant unauthorised",
			happen: working(func(s *sidecar) {
				s.sim.Revoke(component, s.merchants[0])
				if err := s.sim.Push(s.t.Context(), component, wechattest.Event{InfoType: "unauthorized", AuthorizerAppID: s.merchants[0]}); err != nil {
					s.t.Error(err)
				}
			}),
			cause: []string{"The authorization was taken back", "wxa000000000000001"}, cures: []string{"The merchant must authorise again", "Authorization page"},
			chinese: []string{"商家取消了授权", "需要商家重新授权", "授权页"},
		},
		{
			name: "refresh token void",
			happen: working(func(s *sidecar) {
				s.sim.VoidRefreshToken(component, s.merchants[0])
				s.renew(s.merchants[0])
			}),
			cause: []string{"The refresh token is void", "wxa000000000000001"}, cures: []string{"The merchant must authorise again", "Authorization page"},
			chinese: []string{"刷新令牌（refresh token）已失效", "需要商家重新授权", "授权页"},
		},
		{
			name: "quota gone",
			happen: working(func(s *sidecar) {
				s.sim.ExhaustQuota(own, "/cgi-bin/stable_token")
				s.renew(own)
			}),
			cause: []string{"The daily quota is used up", own, "45009"}, cures: []string{"Find out who else fetches tokens", "Try again now"},
			chinese: []string{"当日调用额度已用尽", "清零额度", "立即重试"},
		},
		{
			name: "upstream down",
			happen: working(func(s *sidecar) {
				if err := s.sim.Outage(true); err != nil {
					s.t.Error(err)
				}
				s.call(s.merchants[0]) // nothing is to be renewed for an hour
			}),
			ends:  func(s *sidecar) error { return s.sim.Outage(false) },
			cause: []string{"Critical", "WeChat does not answer", "since", "connection refused"}, cures: []string{"Check DNS and the way out", "all goes on by itself"},
			chinese: []string{"微信没有响应", "检查 DNS 和出口网络"},
		},
		{
			name:    "proxy down",
			prepare: func(s *sidecar) { s.proxy = fmt.Sprintf("http://127.0.0.1:%d", nobody) },
			happen:  func(*sidecar) {},
			cause:   []string{"Critical", "The proxy to WeChat does not let us through", fmt.Sprint(nobody)}, cures: []string{"Mend the proxy, or correct upstream.proxy"},
			chinese: []string{"通往微信的代理不可用", "恢复代理，或改正 upstream.proxy"},
		},
		{
			name: "proxy ends", prepare: func(s *sidecar) { s.proxy = "http://" + out.Addr() },
			happen: working(func(s *sidecar) {
				out.Refuse(true)
				s.call(s.merchants[0])
			}),
			ends: func(*sidecar) error {
				out.Refuse(false)
				return nil
			},
			cause: []string{"Critical", "The proxy to WeChat does not let us through", "since", out.Addr()}, cures: []string{"Mend the proxy, or correct upstream.proxy"},
			chinese: []string{"通往微信的代理不可用", "恢复代理，或改正 upstream.proxy"},
		},
		{
			name: "store damaged",
			happen: working(func(s *sidecar) {
				s.end()
				file := filepath.Join(s.dir, "wx.db")
				text, err := os.ReadFile(file)
				if err != nil {
					s.t.Fatal(err)
				}
				s.write(file, string(bytes.Repeat([]byte("x"), len(text))))
				s.start()
				s.ticket()
			}),
			cause: []string{"Warning", "The store was damaged and moved aside", "wx.db"}, cures: []string{"WeChat&#39;s list brings back what is missing", "look at the disk"},
			chinese: []string{"存储文件曾损坏，已移到一旁", "请检查磁盘"},
		},
		{
			name: "store full", prepare: func(s *sidecar) { s.store = redis.URL() },
			happen: working(func(s *sidecar) {
				if _, err := redis.Do("CONFIG", "SET", "maxmemory", "1"); err != nil {
					s.t.Fatal(err)
				}
				s.renew(s.merchants[0])
			}),
			cause: []string{"Critical", "The store takes no tokens: full or read-only"}, cures: []string{"Make room, or the store writable", "all goes on by itself then"},
			chinese: []string{"存储无法写入：已满或只读", "腾出空间"},
		},
		{
			name: "Redis gone", prepare: func(s *sidecar) { s.store = away.URLVia(way.Addr()) }, happen: working(func(*sidecar) { way.Refuse(true) }),
			cause: []string{"Critical", "The store does not answer", "since"}, cures: []string{"Start Redis again"},
			chinese: []string{"存储没有响应", "恢复存储（Redis）"},
		},
		{
			name: "something outside refreshes",
			happen: working(func(s *sidecar) {
				s.until("it is noticed", func() bool {
					s.sim.Displace(s.merchants[0])
					s.call(s.merchants[0])
					return s.first("en") != ""
				})
			}),
			cause: []string{"Something outside fetches tokens too", "wxa000000000000001"}, cures: []string{"Find the other service, script or SDK"},
			chinese: []string{"外部有程序也在获取 token", "找出持有"},
		},
		{
			name: "clock wrong", prepare: func(s *sidecar) { s.sim.SkewDate(3 * time.Minute) }, happen: (*sidecar).ticket,
			cause: []string{"Warning", "The clock is wrong", "180 s behind"}, cures: []string{"Set the clock right (NTP)"},
			chinese: []string{"本机时钟不准", "校准时钟（NTP）"},
		},
		{
			name: "clock goes wrong",
			happen: working(func(s *sidecar) {
				s.sim.SkewDate(-3 * time.Minute)
				s.until("it is noticed by a call", func() bool {
					s.call(s.merchants[0])
					return s.first("en") != ""
				})
			}),
			ends: func(s *sidecar) error {
				s.sim.SkewDate(0)
				return nil
			},
			cause: []string{"Warning", "The clock is wrong", "180 s ahead of"}, cures: []string{"Set the clock right (NTP)"},
			chinese: []string{"本机时钟不准", "校准时钟（NTP）"},
		},
	}
}

// The page names the cause of each fault first, and what to do, in both languages. SCREENSHOTS
// names a folder for pictures of each.
func TestPage_NamesEachFault(t *testing.T) {
	for _, f := range trials(t) {
		t.Run(f.name, func(t *testing.T) {
			s := newSidecar(t)
			if f.prepare != nil {
				f.prepare(s)
			}
			s.start()
			f.happen(s)
			english := ""
			s.until("the page says: "+f.cause[len(f.cause)-1], func() bool {
				english = s.first("en")
				return hasAll(english, f.cause)
			})
			if !hasAll(english, f.cures) {
				t.Errorf("no cure in %s", english)
			}
			if chinese := s.first("zh-CN"); !hasAll(chinese, f.chinese) {
				t.Errorf("in Chinese: %s", chinese)
			}
			t.Log(strings.Join(strings.Fields(english), " "))
			s.picture(f.name)
			if f.ends != nil {
				if err := f.ends(s); err != nil {
					t.Fatal(err)
				}
				s.until("nothing is wrong any more", func() bool {
					s.call(s.merchants[0])
					return s.first("en") == ""
				})
			}
			for _, secret := range append(s.sim.Secrets(), appSecret, pushToken, aesKey, s.secret) {
				if strings.Contains(s.seen.String(), secret) {
					t.Errorf("a secret of %d characters is shown", len(secret))
				}
			}
		})
	}
}

func hasAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
