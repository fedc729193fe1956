package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// An app that calls everything there is makes no more than a bounded number of series.
func TestResultCounters_FamiliesAreBounded(t *testing.T) {
	families := []string{routes.Other}
	for i := range 3 * maxFamilies {
		families = append(families, fmt.Sprintf("/f/%d", i))
	}
	m := metrics.New("test")
	var c resultCounters
	c.init(m, families)
	var wg sync.WaitGroup
	for range 2 { // at once, as calls come
		wg.Go(func() {
			for family := range families {
				c.count(family, resultFailed)
				c.of(family).frequent.Inc()
			}
		})
	}
	wg.Wait()
	got := scrape(m)
	f := func(want int, text string) {
		t.Helper()
		if n := strings.Count(got, text); n != want {
			t.Errorf("%d times %q, want %d", n, text, want)
		}
	}
	f((maxFamilies+1)*int(results), "\nwxsidecar_app_requests_total{")
	f((maxFamilies+1)*2, "\nwxsidecar_quota_errcodes_total{")
	f(maxFamilies, `",result="failed"} 2`+"\n")
	f(1, fmt.Sprintf("\n"+`wxsidecar_app_requests_total{family="other",result="failed"} %d`+"\n", 2*(2*maxFamilies+1)))
	f(1, fmt.Sprintf("\n"+`wxsidecar_quota_errcodes_total{errcode="45011",family="other"} %d`+"\n", 2*(2*maxFamilies+1)))
}

// The series of a family are all there after its first call, whatever became of it.
func TestResultCounters_AllOfAFamilyAtOnce(t *testing.T) {
	up := newWeChat(t, echo)
	m := metrics.New("test")
	s := start(t, Options{Source: platform(), Metrics: m, Upstream: UpstreamOptions{URL: up.URL}})
	if got := s.call(t, "GET", "/cgi-bin/menu/get", "", "X-Wechat-Appid: wx0000000000000099"); got.fault() != "unknown_account" {
		t.Fatalf("%+v", got)
	}
	s.call(t, "GET", "/cgi-bin/menu/get", "", forMerchant())
	got := scrape(m)
	for _, r := range resultNames {
		if !strings.Contains(got, "\n"+`wxsidecar_app_requests_total{family="/cgi-bin/menu",result="`+r+`"} `) {
			t.Errorf("no series of /cgi-bin/menu for %s", r)
		}
	}
	for _, errcode := range []string{"45009", "45011"} {
		if !strings.Contains(got, "\n"+`wxsidecar_quota_errcodes_total{errcode="`+errcode+`",family="/cgi-bin/menu"} 0`+"\n") {
			t.Errorf("no series of /cgi-bin/menu for %s", errcode)
		}
	}
}
