package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/proxy/language"
)

// view is what the page shows, in the order in which it shows it.
type view struct {
	w      *pageWords
	status Status
	notice *notice
	cards  []card
	// sections are those before and after the accounts.
	before, after []section
	accounts      section
	search        search
	// self is the address of the page as it is shown, back its query, and other that of the page
	// in the other language.
	self, back, other string
	badQuery          bool
}

// card is a finding.
type card struct {
	severity, title string
	since           *time.Time
	// detail and cure are in the page's language; in detail are words of others.
	detail, cure string
	appIDs       []string
	runbook      string
	buttons      []button
}

// search is the form that chooses accounts, and where their list goes on.
type search struct {
	q, state    string
	states      []option
	first, next string // addresses; empty for none
}

type option struct{ value, label string }

// section is a table. A column without a head is that of buttons.
type section struct {
	id, title string
	// note stands above the rows, and detail below that, as in a cell.
	note, detail string
	heads        []string
	rows         [][]cell
	empty        string // shown where there are no rows
	buttons      []button
}

// cell is one cell of a table. All is optional.
type cell struct {
	text  string
	state string     // how text looks: good, bad, warn; name for what is to be copied
	at    *time.Time // shown as how long ago or ahead, behind text
	// more stands below, why below that, and detail last: what others said, or what is worded in
	// English only.
	more, why, detail string
	buttons           []button
}

// add adds a row with a head.
//
//go:noinline
func (s *section) add(head string, c cell) { s.rows = append(s.rows, []cell{{text: head}, c}) }

// button is a form that acts. About says in full what it is for.
type button struct{ label, about, path string }

// pageAccounts is how many accounts a page has, and pageEvents how many pushes.
const (
	pageAccounts = 50
	pageEvents   = 15
)

// pagePatience is how long the store may take for the accounts.
const pagePatience = 3 * time.Second

// view gathers what the page shows.
func (a *api) view(r *http.Request, w *pageWords) *view {
	v := &view{w: w, status: a.status(r.Context())}
	v.address(r)
	for i := range v.status.Findings {
		v.cards = append(v.cards, v.card(&v.status.Findings[i]))
	}
	v.before = []section{v.components()}
	v.addAccounts(a, r)
	v.after = []section{v.hosts(), v.deadLetters(a), v.pushes("events", w.events, a.recentEvents()), v.pushes("messages", w.messages, a.recentMessages()), v.store()}
	if v.status.Shared != nil {
		v.after = append(v.after, v.replicas())
	}
	v.after = append(v.after, v.sidecar())
	return v
}

// address sets what the page's links are made of.
func (v *view) address(r *http.Request) {
	q := shown(r.URL.Query())
	if r.Method == http.MethodPost {
		back, _ := url.ParseQuery(r.PostForm.Get("back")) // what cannot be read is not gone back to
		q = shown(back)
	}
	v.search.q, v.search.state = q.Get("q"), q.Get("state")
	v.back = q.Encode()
	v.self = "/?" + v.back
	q.Set("lang", v.otherTag())
	v.other = "/?" + q.Encode()
}

// addAccounts adds the page of accounts that the query asks for.
func (v *view) addAccounts(a *api, r *http.Request) {
	back, _ := url.ParseQuery(v.back)
	ctx, cancel := context.WithTimeout(r.Context(), pagePatience)
	defer cancel()
	page, err := a.Broker.Accounts(ctx, broker.AccountQuery{Search: v.search.q, State: v.search.state, After: back.Get("cursor"), Limit: pageAccounts})
	v.accounts = section{id: "accounts", title: v.w.accounts, heads: v.w.accountHeads, empty: v.w.noAccounts}
	switch {
	case err != nil:
		v.badQuery = errorOf(err).status == http.StatusBadRequest
		v.accounts.detail = errorOf(err).Message
	case page.StoreError != "":
		v.accounts.detail = page.StoreError
	}
	for i := range page.Accounts {
		v.accounts.rows = append(v.accounts.rows, v.account(&page.Accounts[i]))
	}
	if page.Next != "" {
		v.accounts.empty = v.w.noneSoFar
		v.search.next = v.with(back, "cursor", page.Next)
	}
	if back.Get("cursor") != "" {
		v.search.first = v.with(back, "cursor", "")
	}
	v.search.states = append(v.search.states, option{"", v.w.anyState}, option{broker.AnyTrouble, v.w.trouble})
	for _, s := range broker.States() {
		v.search.states = append(v.search.states, option{s.String(), v.w.states[s.String()]})
	}
}

// with returns the page's address with one value of its query changed.
func (v *view) with(q url.Values, name, value string) string {
	q = shown(q)
	q.Set(name, value)
	return "/?" + shown(q).Encode() + "#accounts"
}

// verdict says in a line how all is.
func (v *view) verdict() (class, text string) {
	var n [3]int
	for i := range v.status.Findings {
		n[rank(v.status.Findings[i].Severity)]++
	}
	switch {
	case n[0] > 0:
		return "critical", v.w.count(v.w.criticals, n[0])
	case n[1] > 0:
		return "warning", v.w.count(v.w.warnings, n[1])
	case n[2] > 0:
		return "note", v.w.count(v.w.notes, n[2])
	default:
		return "good", v.w.allWell
	}
}

// ago says how far a time is away.
func (v *view) ago(t time.Time) string {
	d := v.status.Now.Sub(t)
	if d < 0 {
		return v.w.count(v.w.ahead, v.span(-d))
	}
	return v.w.count(v.w.ago, v.span(d))
}

// span words a duration in one unit, of which there are at least two where that can be.
func (v *view) span(d time.Duration) string {
	units := []struct {
		d    time.Duration
		word string
	}{{24 * time.Hour, v.w.days}, {time.Hour, v.w.hours}, {time.Minute, v.w.minutes}}
	for _, u := range units {
		if d >= 2*u.d {
			return v.w.count(u.word, int(d/u.d))
		}
	}
	return v.w.count(v.w.seconds, int(d/time.Second))
}

func itoa(n int) string { return strconv.Itoa(n) }

// heading is the page's title: what a browser shows of a page that is not looked at.
func (v *view) heading() string { return v.verdictText() + " · wxsidecar" }

func (v *view) verdictState() string {
	class, _ := v.verdict()
	return class
}

func (v *view) verdictText() string {
	_, text := v.verdict()
	return text
}

func (v *view) otherTag() string {
	if v.w.tag == language.Chinese {
		return language.English
	}
	return language.Chinese
}

// summary counts the merchants in use.
func (v *view) summary() string {
	counts, all := v.status.Keys.Counts[broker.KindAuthorizer.Label()], 0
	for _, n := range counts {
		all += n
	}
	return fmt.Sprintf(v.w.summary, all, counts[broker.StateLive.String()])
}

func (v *view) searchLink(appID string) string { return v.with(url.Values{}, "q", appID) }

func (n *notice) state() string {
	if n.bad {
		return "bad"
	}
	return "good"
}

// head is the head of a column, for screens that are too narrow for heads.
func (s *section) head(i int) string {
	if i < len(s.heads) {
		return s.heads[i]
	}
	return ""
}
