package broker_test

import (
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// kindsOfFAQ are the columns of the table in docs/faq.md that say which state a key is in
// once WeChat refuses the call for its token.
var kindsOfFAQ = []struct {
	key  broker.Key
	path string
}{
	{platformKey, componentPath},
	{authorizerKey(merchant(0)), authorizerPath},
	{ownKey, stablePath},
}

// TestFAQ_StatesAreThoseOfTheTable has WeChat refuse each kind of token call by each errcode of
// the FAQ, and by each that the client names.
func TestFAQ_StatesAreThoseOfTheTable(t *testing.T) {
	rows := rowsOfFAQ(t)
	for _, code := range namedErrcodes(t) {
		if rows[code] == nil {
			t.Errorf("docs/faq.md has no errcode %d", code)
		}
	}
	for code, cells := range rows {
		for i, got := range statesAfter(t, code) {
			want := broker.StateRetrying.String()
			if cell := cells[3+i]; cell != "" {
				want = strings.Trim(cell, "`")
			}
			if got != want {
				t.Errorf("docs/faq.md: %d to %s leads to %s, and the table says %q", code, kindsOfFAQ[i].path, got, cells[3+i])
			}
		}
	}
}

// rowsOfFAQ returns the cells of each row of the FAQ's table, by errcode.
func rowsOfFAQ(t *testing.T) map[int][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/faq.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[int][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if m := regexp.MustCompile(`^\[(-?\d+)\]\(#`).FindStringSubmatch(cells[0]); m != nil && len(cells) == 6 {
			code, _ := strconv.Atoi(m[1])
			rows[code] = cells
		}
	}
	if len(rows) < 24 {
		t.Fatalf("only %d errcodes are in the table of docs/faq.md", len(rows))
	}
	return rows
}

// namedErrcodes returns those that the client of WeChat's API has a name for.
func namedErrcodes(t *testing.T) []int {
	t.Helper()
	source, err := os.ReadFile("wechat/errcode.go")
	if err != nil {
		t.Fatal(err)
	}
	var codes []int
	for _, m := range regexp.MustCompile(`(?m)^\t[cC]ode\w+\s+= (-?\d+)`).FindAllStringSubmatch(string(source), -1) {
		code, _ := strconv.Atoi(m[1])
		codes = append(codes, code)
	}
	if len(codes) < 20 {
		t.Fatalf("only %d errcodes are named", len(codes))
	}
	return codes
}

// statesAfter returns the states that apps' calls meet, by kind, half a minute after WeChat
// began to refuse every call for that kind of token.
func statesAfter(t *testing.T, code int) []string {
	t.Helper()
	states := make([]string, len(kindsOfFAQ))
	t.Run(strconv.Itoa(code), func(t *testing.T) {
		lit(t, worldOptions{merchants: 1, own: true}, func(w *world) {
			if code == wechat.CodeNotAuthorized { // it is asked for in two ways
				w.sim.Fault(infoPath, wechattest.Fault{Errcode: code})
			}
			for i := len(kindsOfFAQ) - 1; i >= 0; i-- { // a merchant's call needs the component's token
				of := kindsOfFAQ[i]
				w.sim.Fault(of.path, wechattest.Fault{Errcode: code})
				w.sim.ExpireAllTokens()
				_, _ = w.call(of.key)
				pass(30 * time.Second)
				_, err := w.call(of.key)
				var s *broker.StateError
				if !errors.As(err, &s) {
					t.Fatalf("%s: %v", of.key, err)
				}
				states[i] = s.State.String()
			}
		})
	})
	return states
}
