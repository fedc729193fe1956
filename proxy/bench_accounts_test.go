package proxy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// BenchmarkForward_Accounts is a call without sockets, with the broker, of one account beside one of
// 10,000, which it names by a handle or by its appid. What it takes more with many is the wait for
// what it reads of its account, which no cache of the processor has. Both take turns, as machines
// have their moods; the figures are medians.
func BenchmarkForward_Accounts(b *testing.B) {
	const calls = 500 // of a turn
	counts := [...]int{1, 10_000}
	var servers [len(counts)]*Server
	for i, n := range counts {
		servers[i], _ = fakeServer(b, manyMerchants(b, n))
	}
	for name, line := range map[string]func(s *Server, appid string) string{
		"handle": func(s *Server, appid string) string {
			return "/cgi-bin/menu/get?access_token=" + s.keys.issue(authorizerKey(appid), s.callers.Load().all[0]) + " HTTP/1.1\r\n"
		},
		"appid": func(_ *Server, appid string) string {
			return "/cgi-bin/menu/get HTTP/1.1\r\nX-Wxsidecar-Key: key-of-shop\r\nX-Wechat-Appid: " + appid + "\r\n"
		},
	} {
		b.Run(name, func(b *testing.B) {
			var apps [len(counts)]manyApps
			for i, n := range counts {
				for account := range n {
					head := "GET " + line(servers[i], oneOfMany(account)) + "Host: api.weixin.qq.com\r\n\r\n"
					apps[i].requests = append(apps[i].requests, []byte(head))
				}
				apps[i].call(b, servers[i], n) // what is kept of each account is made by its first call
			}
			var took [len(counts)][]float64
			var ratios []float64
			for b.Loop() {
				for i := range counts {
					took[i] = append(took[i], float64(apps[i].call(b, servers[i], calls).Nanoseconds())/calls)
				}
				ratios = append(ratios, took[1][len(ratios)]/took[0][len(ratios)])
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(took[0]), "ns/call-of-1")
			b.ReportMetric(median(took[1]), "ns/call-of-10000")
			b.ReportMetric(median(ratios), "ratio")
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func oneOfMany(i int) string { return fmt.Sprintf("wx%016x", 0xa0000000+i) }

// manyMerchants returns options with a broker that has the tokens of n authorizers.
func manyMerchants(b *testing.B, n int) Options {
	b.Helper()
	sim := wechattest.New(wechattest.Options{KeepRequests: 1})
	sim.AddComponent(wechattest.Component{AppID: component, Secret: appSecret})
	for i := range n {
		sim.AddAuthorizer(component, oneOfMany(i))
	}
	br, _, _ := runBroker(b, sim, broker.Options{
		Components: []broker.ComponentConfig{{AppID: component, Secret: secret.New(appSecret)}}, Rate: 10_000, Wait: time.Minute,
	})
	pushTicket(b, br, sim)
	for i := range n {
		a, err := br.Account(b.Context(), oneOfMany(i), broker.Choice{})
		if err == nil {
			_, err = br.Token(b.Context(), a.Key())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return Options{Source: br, Exchange: br, Callers: []Caller{callerOf("shop", "key-of-shop")}}
}

// manyApps is fakeApp with many requests, which come one after the other.
type manyApps struct {
	fakeApp
	requests [][]byte
	next     int
}

// call makes calls and returns how long they took.
func (c *manyApps) call(tb testing.TB, s *Server, calls int) time.Duration {
	tb.Helper()
	c.fakeApp = fakeApp{left: calls + 1}
	began := time.Now()
	err := s.serveConn(c)
	took := time.Since(began)
	if err != nil || c.answers != calls {
		tb.Fatalf("%d answers to %d calls, %v", c.answers, calls, err)
	}
	return took
}

// Read implements [net.Conn].
func (c *manyApps) Read(p []byte) (int, error) {
	if c.at == len(c.request) {
		// A stride that is prime meets all of them, and none beside the one before.
		c.next = (c.next + 7919) % len(c.requests)
		c.request, c.at = c.requests[c.next], 0
		if c.left--; c.left == 0 {
			c.left = 1
			c.at = len(c.request)
		}
	}
	return c.fakeApp.Read(p)
}
