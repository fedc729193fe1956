//go:build linux

package main

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// mostSeries is how many series a sidecar has at most, however many merchants there are.
const mostSeries = 2000

// operators asks a replica what operators ask, with all merchants in use, and reports how long each
// answer takes. It wants what is asked for to be found, and the series bounded.
func (s scaleTrial) operators() {
	s.t.Helper()
	p, last := s.replicas[0].running(), s.merchants[len(s.merchants)-1]
	// One of them in trouble: what is wrong has to be found among all.
	s.sim.VoidRefreshToken(replicaComponent, s.merchants[0])
	res, err := p.client.Post("http://"+p.admin+"/api/v1/accounts/"+s.merchants[0]+"/renew?wait=20s", "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	for _, ask := range []struct{ what, url, part string }{
		{"the page", "http://" + p.admin + "/", "<article data-state="},
		{"the page: search for an appid", "http://" + p.admin + "/?q=" + last, ">" + last + "<"},
		{"the page: search for a part", "http://" + p.admin + "/?q=" + last[len(last)-3:], ">" + last + "<"},
		{"the page: those in trouble", "http://" + p.admin + "/?state=trouble", ">" + s.merchants[0] + "<"},
		{"the page: by a state that few have", "http://" + p.admin + "/?state=unauthorized", "/?state=unauthorized"},
		{"API: status", "http://" + p.admin + "/api/v1/status", s.merchants[0]},
		{"API: a page of accounts", "http://" + p.admin + "/api/v1/accounts?limit=500", s.merchants[0]},
		{"API: those in trouble", "http://" + p.admin + "/api/v1/accounts?state=trouble", s.merchants[0]},
		{"metrics", "http://" + p.metrics + "/metrics", "wxsidecar_keys"},
	} {
		first, slowest, text := time.Duration(0), time.Duration(0), ""
		for i := range 10 {
			begun := time.Now()
			text = s.get(p.client, ask.url)
			took := time.Since(begun)
			if i == 0 {
				first = took
			}
			slowest = max(slowest, took)
		}
		s.report("operators: %s: %s first, %s the slowest of ten", ask.what, first.Round(time.Millisecond), slowest.Round(time.Millisecond))
		if !strings.Contains(text, ask.part) {
			s.t.Errorf("%s: no %s in an answer of %d bytes", ask.what, ask.part, len(text))
		}
	}
	series := 0
	for line := range strings.Lines(s.get(p.client, "http://"+p.metrics+"/metrics")) {
		if !strings.HasPrefix(line, "#") {
			series++
		}
	}
	if s.report("operators: %d series", series); series > mostSeries {
		s.t.Errorf("%d series", series)
	}
}

// get returns an answer's text.
func (s scaleTrial) get(c *http.Client, url string) string {
	s.t.Helper()
	res, err := c.Get(url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d, %v", url, res.StatusCode, err)
	}
	return string(text)
}
