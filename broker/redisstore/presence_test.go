package redisstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/store"
)

// peersKey is the key of the set that doc.go names.
const peersKey = "{wxsidecar}:peers"

// Who has gone is told of for an hour, whoever asks, and then forgotten; however many there were,
// Redis keeps some; and a clock of Redis's that was set back has nobody stay.
func TestAnnounce_Forgets(t *testing.T) {
	redis := redistest.Start(t, redistest.Options{})
	s := open(t, redis.URL())
	now := time.Now().UnixMilli()
	add := func(name string, ago time.Duration) {
		redis.MustDo("ZADD", peersKey, "0", fmt.Sprintf("%013d %s", now-ago.Milliseconds(), name))
	}
	told := func() map[string]time.Duration {
		t.Helper()
		_, others, err := s.Announce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]time.Duration{}
		for _, p := range others {
			all[p.Name] = p.Ago
		}
		return all
	}
	add("gone~1", 59*time.Minute)
	add("forgotten~1", 61*time.Minute)
	add("ahead~1", -time.Hour)
	add("ahead with a space~1", -10*time.Minute)
	for range 2 { // the second time shows what is kept
		all := told()
		if len(all) != 3 || all["gone~1"] < 59*time.Minute || all["gone~1"] > 60*time.Minute {
			t.Errorf("told of %v", all)
		}
		for _, name := range []string{"ahead~1", "ahead with a space~1"} {
			if ago, ok := all[name]; !ok || ago > time.Minute {
				t.Errorf("%s is %s ago, %t", name, ago, ok)
			}
		}
	}
	if ahead := redis.MustDo("ZRANGEBYLEX", peersKey, fmt.Sprintf("[%013d", now+time.Minute.Milliseconds()), "+"); len(ahead.([]any)) != 0 {
		t.Errorf("%v are kept as if to come", ahead)
	}
	if n := redis.MustDo("ZCARD", peersKey); fmt.Sprint(n) != "4" {
		t.Errorf("%v are kept, want 4", n)
	}
	redis.MustDo("ZADD", peersKey, "0", "of another program") // and is in nobody's way
	for i := range 10_000 {
		add(fmt.Sprintf("many%d~1", i), time.Duration(10_000-i)*time.Millisecond)
	}
	all := told()
	if _, latest := all["many9999~1"]; len(all) != store.MostPeers || !latest {
		t.Errorf("told of %d, with the latest: %t", len(all), latest)
	}
	if n := redis.MustDo("ZCARD", peersKey); fmt.Sprint(n) != fmt.Sprint(store.MostPeers+1) {
		t.Errorf("%v are kept, want %d", n, store.MostPeers+1)
	}
	if left, ok := redis.MustDo("PTTL", peersKey).(int64); !ok || left <= 0 || left > store.PeersFor.Milliseconds() {
		t.Errorf("the key ends in %v ms", left)
	}
}

// What announcing costs does not depend on what the store has.
func TestAnnounce_Cost(t *testing.T) {
	redis := redistest.Start(t, redistest.Options{})
	s := open(t, redis.URL())
	commands := func() (sum int) {
		text, _ := redis.MustDo("INFO", "commandstats").(string)
		for line := range strings.Lines(text) {
			name, values, _ := strings.Cut(line, ":")
			var calls int
			if _, err := fmt.Sscanf(values, "calls=%d,", &calls); err == nil && name != "cmdstat_info" && name != "cmdstat_ping" {
				sum += calls
			}
		}
		return sum
	}
	cost := func() int {
		t.Helper()
		before := commands()
		for range 10 {
			if _, _, err := s.Announce(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return commands() - before
	}
	cost() // loads the script
	empty := cost()
	for i := range 200 {
		put(t, s, first(fmt.Sprint("k", i), "x"))
	}
	if full := cost(); full != empty || full > 100 {
		t.Errorf("ten times: %d commands, and %d with 200 records", empty, full)
	}
}
