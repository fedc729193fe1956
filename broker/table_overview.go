package broker

import (
	"slices"
	"sort"
	"time"
)

// namesShown is how many appids a [Trouble] of many keys names.
const namesShown = 5

// Overview is how the keys in use are, all together.
type Overview struct {
	// Counts has the number of keys by kind (see [Kind.Label]) and state.
	Counts map[string]map[string]int `json:"counts"`
	// Troubles are the authorizers in trouble, together where the cause is the same, those
	// that most share first. Those that only wait for another key are not among them.
	Troubles []TroubleGroup `json:"troubles"`
	// Blocked has, by component, how many keys only wait for its token.
	Blocked map[string]int `json:"blocked"`
	// Displaced has the first keys whose tokens somebody outside seems to renew as well.
	Displaced []string `json:"displaced"`
}

// TroubleGroup is the authorizers of one component whose last renewals failed for one
// cause.
type TroubleGroup struct {
	Component string `json:"component"`
	// Cause is a state, and Errcode WeChat's code, 0 for none.
	Cause   string `json:"cause"`
	Errcode int    `json:"errcode,omitempty"`
	// Count is how many there are, and Hidden how many of them still hold a living token.
	Count  int `json:"count"`
	Hidden int `json:"hidden"`
	// AppIDs has the first of them.
	AppIDs []string `json:"appids"`
	// Since, Reason, Why and Said are those of the one that is longest in trouble, as [Trouble]
	// has them.
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	Why    string    `json:"why"`
	Said   string    `json:"said,omitempty"`
}

// troubleKey is what a group has in common.
type troubleKey struct {
	component string
	cause     State
	errcode   int
}

// overview passes over all keys in use.
func (t *table) overview() Overview {
	o := Overview{Counts: map[string]map[string]int{}, Blocked: map[string]int{}, Displaced: []string{}}
	var counts [len(kindNames)][len(stateNames)]int
	groups := map[troubleKey]*TroubleGroup{}
	now := t.clock.Now()
	t.each(func(e *entry) {
		counts[e.key.Kind][e.stateLocked(now)]++
		if e.displacedLocked(now) {
			o.Displaced = insertName(o.Displaced, e.key.String())
		}
		switch {
		case e.blocking.on != nil:
			if root := e.rootLocked(); root.key.Kind == KindComponent {
				o.Blocked[root.key.AppID]++
			}
		case e.key.Kind == KindAuthorizer && e.cond.trouble != StateUnknown:
			addTroubleLocked(groups, e, now)
		}
	})
	for kind := KindComponent; int(kind) < len(kindNames); kind++ {
		label := kind.Label()
		if o.Counts[label] == nil {
			o.Counts[label] = map[string]int{}
		}
		for _, s := range States() {
			o.Counts[label][s.String()] += counts[kind][s]
		}
	}
	o.Troubles = sortedTroubles(groups)
	return o
}

func addTroubleLocked(groups map[troubleKey]*TroubleGroup, e *entry, now time.Time) {
	c := e.cond
	k := troubleKey{e.key.Component, c.trouble, c.errcode}
	g := groups[k]
	if g == nil {
		g = &TroubleGroup{Component: k.component, Cause: k.cause.String(), Errcode: k.errcode, AppIDs: []string{}}
		groups[k] = g
	}
	g.Count++
	if e.usableLocked(now) != nil {
		g.Hidden++
	}
	if g.Count == 1 || c.troubled < instantOf(g.Since) {
		g.Since, g.Reason = c.troubled.time(), c.reason
		g.Why, g.Said = why(e.key, c)
	}
	g.AppIDs = insertName(g.AppIDs, e.key.AppID)
}

// insertName inserts name into the first names, which are sorted.
func insertName(names []string, name string) []string {
	i, _ := slices.BinarySearch(names, name)
	if i == namesShown {
		return names
	}
	names = slices.Insert(names, i, name)
	return names[:min(len(names), namesShown)]
}

func sortedTroubles(groups map[troubleKey]*TroubleGroup) []TroubleGroup {
	all := []TroubleGroup{}
	for _, g := range groups {
		g.Since = g.Since.UTC().Truncate(time.Second)
		all = append(all, *g)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := &all[i], &all[j]
		if a.Count != b.Count {
			return a.Count > b.Count
		}
		return a.Component+a.Cause+a.Reason < b.Component+b.Cause+b.Reason
	})
	return all
}
