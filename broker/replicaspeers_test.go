package broker_test

import (
	"slices"
	"testing"
	"time"
)

// others returns which others a broker knows, with how long ago each was seen and whether it is
// away.
func (w *world) others() (names []string, ago map[string]time.Duration, away map[string]bool) {
	w.t.Helper()
	s, shared := w.broker.Coordination()
	if !shared || s.Name == "" {
		w.t.Errorf("shared %t, under the name %q", shared, s.Name)
	}
	ago, away = map[string]time.Duration{}, map[string]bool{}
	for _, o := range s.Others {
		names = append(names, o.Name)
		ago[o.Name], away[o.Name] = w.broker.Now().Sub(o.SeenAt), o.Away
	}
	return names, ago, away
}

// Each replica knows the others though none writes, and one that has gone for an hour: since when.
func TestReplicas_KnowEachOther(t *testing.T) {
	inFleet(t, 3, worldOptions{}, func(f *fleet) {
		want := [][]string{{"replica-1", "replica-2"}, {"replica-0", "replica-2"}, {"replica-0", "replica-1"}}
		pass(20 * time.Second)
		for range 3 {
			for i, w := range f.all {
				names, ago, away := w.others()
				if !slices.Equal(names, want[i]) {
					t.Errorf("replica %d knows %v, want %v", i, names, want[i])
				}
				for _, name := range names {
					if away[name] || ago[name] > 31*time.Second {
						t.Errorf("replica %d says that %s was seen %s ago, away %t", i, name, ago[name], away[name])
					}
				}
			}
			pass(10 * time.Minute)
		}
		f.all[2].halt()
		pass(30 * time.Minute)
		names, ago, away := f.all[0].others()
		if !slices.Equal(names, want[0]) || away["replica-1"] || !away["replica-2"] || (ago["replica-2"]-30*time.Minute).Abs() > time.Minute {
			t.Errorf("half an hour after the end of one: %v, %v, away %v", names, ago, away)
		}
		pass(31 * time.Minute)
		if names, _, _ := f.all[0].others(); !slices.Equal(names, want[0][:1]) {
			t.Errorf("an hour after the end of one: %v", names)
		}
		f.all[2].start()
		pass(16 * time.Second)
		if names, _, away := f.all[0].others(); !slices.Equal(names, want[0]) || away["replica-2"] {
			t.Errorf("after its return: %v, away %v", names, away)
		}
	})
}

// One that does not reach the store is away for the others. It says itself when it saw them last,
// and not that they have gone.
func TestReplicas_KnowWhoIsCutOff(t *testing.T) {
	inFleet(t, 2, worldOptions{}, func(f *fleet) {
		pass(20 * time.Second)
		f.views[1].Down(errPartition)
		pass(10 * time.Minute)
		if _, ago, away := f.all[0].others(); !away["replica-1"] || ago["replica-1"] < 10*time.Minute {
			t.Errorf("cut off: seen %v ago, away %v", ago, away)
		}
		if _, ago, away := f.all[1].others(); away["replica-0"] || (ago["replica-0"]-10*time.Minute).Abs() > time.Minute {
			t.Errorf("to one that is cut off: seen %v ago, away %v", ago, away)
		}
		f.views[1].Down(nil)
		pass(31 * time.Second)
		for i, w := range f.all {
			if _, ago, away := w.others(); away["replica-0"] || away["replica-1"] {
				t.Errorf("replica %d, healed: seen %v ago, away %v", i, ago, away)
			}
		}
	})
}
