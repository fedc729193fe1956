package redisstore_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore"
	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/storetest"
)

// documentedRules returns the rules of the ACL user that docs/redis.md has to copy, below a heading
// of its list.
func documentedRules(t *testing.T, below string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^# ` + below + `\nuser wxsidecar on >PASSWORD (.*)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("docs/redis.md has no rules for %q", below)
	}
	return strings.Fields(string(m[1]))
}

func withRules(rules []string) redistest.Options {
	return redistest.Options{User: "wxsidecar", Password: "pass", ACL: rules}
}

// denials returns what servers have refused to somebody who may not.
func denials(t *testing.T, servers ...*redistest.Server) (all []any) {
	t.Helper()
	for _, s := range servers {
		list, ok := s.MustDo("ACL", "LOG").([]any)
		if !ok {
			t.Fatal("ACL LOG is no list")
		}
		all = append(all, list...)
	}
	return all
}

func without(rules []string, rule string) []string {
	return slices.DeleteFunc(slices.Clone(rules), func(r string) bool { return r == rule })
}

// lacks opens a store and uses it until a server denies something, or the store says so.
func lacks(t *testing.T, rule, url string, servers ...*redistest.Server) {
	t.Helper()
	s, err := redisstore.Open(t.Context(), redisstore.Options{URL: secret.New(url)})
	if err != nil {
		if !strings.Contains(err.Error(), "lacks a right") && !strings.Contains(err.Error(), "may not") {
			t.Errorf("without %s: %v; the right is to be named", rule, err)
		}
		return
	}
	defer s.Close()
	deadline := time.Now().Add(30 * time.Second)
	for len(denials(t, servers...)) == 0 {
		if time.Now().After(deadline) {
			t.Errorf("nobody misses %s", rule)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// named reports an error that does not name the rules, to one who lacks nearly all of them.
func named(t *testing.T, rules []string, url string, servers ...*redistest.Server) {
	t.Helper()
	for _, s := range servers {
		s.MustDo("ACL", "SETUSER", "wxsidecar", "-@all", "+cluster|slots", "+role")
	}
	_, err := redisstore.Open(t.Context(), redisstore.Options{URL: secret.New(url)})
	if want := "give it all of: " + strings.Join(rules, " ") + ":"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("to one without rights: %v; want %q", err, want)
	}
}

// The rules of docs/redis.md suffice for everything, and each one is needed.
func TestDocs_RulesOfOneServer(t *testing.T) {
	t.Parallel()
	rules := documentedRules(t, "one server")
	s := redistest.Start(t, withRules(rules))
	storetest.RunShared(t, func(t *testing.T, views int) (all []store.Shared) {
		s.Flush()
		for range views {
			all = append(all, open(t, s.URL()))
		}
		return all
	})
	rs := startRenewers(t, viewsOf(t, s.URL())...)
	rs.goOn("the start")
	if denied := denials(t, s); len(denied) > 0 {
		t.Errorf("denied: %v", denied)
	}
	for _, rule := range rules {
		s := redistest.Start(t, withRules(without(rules, rule)))
		lacks(t, rule, s.URL(), s)
	}
	named(t, rules, s.URL(), s)
	other := redistest.Start(t, withRules(rules))
	if _, err := redisstore.Open(t.Context(), redisstore.Options{URL: secret.New(ownStore(other.URL()))}); err == nil || !strings.Contains(err.Error(), "~{test") {
		t.Errorf("a store of another prefix: %v; its keys are to be named", err)
	}
}

func TestDocs_RulesWithSentinels(t *testing.T) {
	t.Parallel()
	rules := documentedRules(t, "with Sentinels")
	s := redistest.StartSentinel(t, withRules(rules))
	rs := startRenewers(t, viewsOf(t, s.URL())...)
	s.Failover()
	rs.goOn("a failover")
	if denied := denials(t, s.Servers...); len(denied) > 0 {
		t.Errorf("denied: %v", denied)
	}
	more := moreRules(t, rules)
	if len(more) == 0 {
		t.Error("no rules beside those for one server")
	}
	for _, rule := range more {
		for _, x := range s.Servers {
			x.MustDo("ACL", "SETUSER", "wxsidecar", "-"+rule[1:])
		}
		lacks(t, rule, s.URL(), s.Servers...)
	}
	named(t, rules, s.URL(), s.Servers...)
}

// moreRules returns those that one server does not need.
func moreRules(t *testing.T, rules []string) []string {
	t.Helper()
	single := documentedRules(t, "one server")
	for _, rule := range single {
		if !slices.Contains(rules, rule) {
			t.Errorf("%s is missing", rule)
		}
	}
	return slices.DeleteFunc(slices.Clone(rules), func(r string) bool { return slices.Contains(single, r) })
}

func TestDocs_RulesOfACluster(t *testing.T) {
	t.Parallel()
	rules := documentedRules(t, "a Cluster")
	c := redistest.StartCluster(t, withRules(rules))
	views := viewsOf(t, c.URL())
	rs := startRenewers(t, views...)
	c.Failover("{wxsidecar}:fence")
	rs.goOn("a failover")
	get := func() error { _, err := views[0].Get(t.Context(), renewed); return err }
	c.MoveSlot("{wxsidecar}:fence", func() {
		if err := get(); err != nil {
			t.Errorf("while the slot moves: %v", err)
		}
	})
	rs.goOn("a move of the slot")
	if denied := denials(t, c.Servers...); len(denied) > 0 {
		t.Errorf("denied: %v", denied)
	}
	more := moreRules(t, rules)
	if want := []string{"+cluster|slots", "+cluster|shards", "+asking"}; !slices.Equal(more, want) { // shards is for Redis 8
		t.Errorf("more than one server needs: %v, want %v", more, want)
	}
	set := func(rule string) {
		for _, s := range c.Servers {
			s.MustDo("ACL", "SETUSER", "wxsidecar", rule)
		}
	}
	set("-asking")
	c.MoveSlot("{wxsidecar}:fence", func() {
		if err := get(); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Error("nobody misses +asking")
		}
	})
	set("+asking")
	set("-cluster|slots")
	lacks(t, "+cluster|slots", c.URL(), c.Servers...)
	named(t, rules, c.URL(), c.Servers...)
}
