package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// merchant is one who authorises with a browser.
type merchant struct {
	browser http.Client
	// landing is the path and query that WeChat leads back to.
	landing string
}

// merchantDoes is the command merchant.
func merchantDoes(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3)
	s, _ := ts.Value(scriptKey{}).(*script)
	switch args[0] {
	case "open":
		s.openPage(ts, args[1], args[2])
	case "land":
		s.land(ts, args[1], args[2])
	default:
		ts.Fatalf("merchant does not %s", args[0])
	}
}

// openPage opens the page, without HTML, and follows its link as a new browser.
func (s *script) openPage(ts *testscript.TestScript, page, appID string) {
	jar, err := cookiejar.New(nil)
	ts.Check(err)
	s.merchant.browser = http.Client{
		Jar: jar, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+page, nil)
	ts.Check(err)
	req.Header.Set("Accept", "application/json")
	res, err := s.merchant.browser.Do(req)
	ts.Check(err)
	defer func() { ts.Check(res.Body.Close()) }()
	var answer struct {
		AuthorizeURL string `json:"authorize_url"`
	}
	ts.Check(json.NewDecoder(res.Body).Decode(&answer))
	landing, err := s.wechat.FollowLink(answer.AuthorizeURL, "http://"+page, appID)
	ts.Check(err)
	u, err := url.Parse(landing)
	ts.Check(err)
	s.merchant.landing = u.RequestURI()
}

func (s *script) land(ts *testscript.TestScript, address, status string) {
	res, err := s.merchant.browser.Get("http://" + address + s.merchant.landing)
	ts.Check(err)
	defer func() { ts.Check(res.Body.Close()) }()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	if strconv.Itoa(res.StatusCode) != status {
		ts.Fatalf("status %s, want %s: %s", res.Status, status, body)
	}
	if next := res.Header.Get("Location"); next != "" {
		body = []byte(next + "\n")
	}
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
}
