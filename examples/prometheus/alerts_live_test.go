package prometheus

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// faster is how much faster time passes in these tests: tokens live a minute instead of two
// hours, tickets come every five seconds, and so the rules look back as much less.
const faster = 120

const life = 2 * time.Hour / faster

// notHere are the alerts that only alerts_test.yml has fire, and why.
var notHere = map[string]string{
	"WxsidecarBudgetNearlyUsed":  "it takes hundreds of rejections of one key, thirty seconds apart",
	"WxsidecarEventsGivenUp":     "an event is given up after 24 hours",
	"WxsidecarRenewalsContested": "it takes several replicas that pause at the wrong moments",
	"WxsidecarOutsideRenewals":   "it takes a shared store and a second sidecar beside it, for an hour",
}

var duration = regexp.MustCompile(`(\[|offset |for: )(\d+)([mh])`)

// scaled are the rules for a time that passes faster.
func scaled(t *testing.T) string {
	t.Helper()
	text := readText(t, "alerts.yml")
	for from, to := range map[string]string{
		// What is measured in the seconds of a token's life.
		"wxsidecar_ticket_age_seconds > 1800": "wxsidecar_ticket_age_seconds > 15", "> 0 < 900": "> 0 < 8", "> 0 < 120": "> 0 < 1",
		"wxsidecar_outbox_oldest_seconds > 600": "wxsidecar_outbox_oldest_seconds > 5",
		// A start takes as long as ever.
		"changes(process_start_time_seconds{job=\"wxsidecar\"}[15m])": "changes(process_start_time_seconds{job=\"wxsidecar\"}[1h])",
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("the rules have no %s", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	return duration.ReplaceAllStringFunc(text, func(found string) string {
		m := duration.FindStringSubmatch(found)
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		d := time.Duration(n) * map[string]time.Duration{"m": time.Minute, "h": time.Hour}[m[3]] / faster
		if m[1] != "for: " {
			d = max(d, 3*time.Second) // some scrapes
		}
		return fmt.Sprintf("%s%dms", m[1], d.Milliseconds())
	})
}

// fault is a sidecar to which something happens.
type fault struct {
	name string
	life time.Duration
	// prepare changes the sidecar before its start.
	prepare func(s *sidecar)
	// happen makes the fault happen to a sidecar that runs and is well, unless prepare broke it.
	happen func(s *sidecar, w *watcher)
	// alerts must fire then, and end after cure.
	alerts []string
	cure   func(s *sidecar)
}

// watcher watches the alerts of one sidecar.
type watcher struct {
	t *testing.T
	p *server
	s *sidecar
}

// fire waits until each of the alerts has fired.
func (w *watcher) fire(alerts ...string) {
	w.t.Helper()
	open := slices.Clone(alerts)
	w.poll(func(firing map[string]bool) bool {
		open = slices.DeleteFunc(open, func(a string) bool { return firing[a] })
		return len(open) == 0
	}, func() string { return fmt.Sprintf("%v to fire", open) })
}

// end waits until none of the alerts fires.
func (w *watcher) end(alerts ...string) {
	w.t.Helper()
	var still []string
	w.poll(func(firing map[string]bool) bool {
		still = slices.DeleteFunc(slices.Clone(alerts), func(a string) bool { return !firing[a] })
		return len(still) == 0
	}, func() string { return fmt.Sprintf("%v to end", still) })
}

func (w *watcher) poll(done func(firing map[string]bool) bool, what func() string) {
	w.t.Helper()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	var firing map[string]bool
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if firing = w.p.firing(w.s.name); done(firing) {
			return
		}
	}
	w.t.Fatalf("%s: in vain for %s; firing: %v", w.s.name, what(), slices.Sorted(maps.Keys(firing)))
}

// well waits until all tokens are there.
func (s *sidecar) well() {
	s.t.Helper()
	until(s.t, s.name+" has all tokens", func() bool { return s.get(s.ports.metrics, "/tokenz") == http.StatusOK })
}

// calls has the app call for an account again and again.
func (s *sidecar) calls(every time.Duration, path, appID string) {
	s.keep(every, func() { s.call(shopKey, "GET", path, appID) })
}

// Each alert fires by the fault that it is for, made in a real sidecar's WeChat, store or app
// and seen by a real Prometheus, and ends when that is cured.
func TestAlerts_FireAndEnd(t *testing.T) {
	all := faults(t)
	var sidecars []*sidecar
	for _, f := range all {
		sidecars = append(sidecars, newSidecar(t, f.name, f.life))
	}
	p, began := startPrometheus(t, scaled(t), sidecars), time.Now()
	seen := map[string]bool{}
	var mu sync.Mutex
	var each sync.WaitGroup
	for i, f := range all {
		// All at once: they wait most of the time, and t.Parallel would have as many as there
		// are processors.
		each.Go(func() {
			t.Run(f.name, func(t *testing.T) {
				s := sidecars[i]
				s.t = t
				f.run(s, &watcher{t, p, s})
				mu.Lock()
				defer mu.Unlock()
				for _, a := range f.alerts {
					seen[a] = true
				}
			})
		})
	}
	each.Wait()
	if pictures != "" {
		p.drawAlerts(began, time.Now())
	}
	for _, a := range rules(t, readText(t, "alerts.yml")) {
		if why := notHere[a.Alert]; seen[a.Alert] == (why != "") {
			t.Errorf("%s: fired here is %t; the reason not to is %q", a.Alert, seen[a.Alert], why)
		}
	}
}

func (f *fault) run(s *sidecar, w *watcher) {
	if f.prepare != nil {
		f.prepare(s)
	}
	s.start()
	if f.happen != nil {
		f.happen(s, w)
	}
	w.fire(f.alerts...)
	f.cure(s)
	w.end(f.alerts...)
}
