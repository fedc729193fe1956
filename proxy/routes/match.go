package routes

import (
	"bytes"
	"slices"
	"sort"
)

// Match returns the route of path: the catalogue's, else that of a prefix, else
// the default; never nil. path is a canonical absolute path without the query; a
// slash at its end does not count. Match keeps nothing of path and does not
// allocate.
func (t *Table) Match(path []byte) *Route {
	if n := len(path); n > 1 && path[n-1] == '/' {
		path = path[:n-1]
	}
	if r, ok := t.exact[string(path)]; ok {
		return r
	}
	for _, r := range t.prefixes {
		if n := len(r.Pattern) - 1; len(path) > n && string(path[:n]) == r.Pattern[:n] {
			return r
		}
	}
	return t.fallback
}

// For returns the route of a call with that raw query: where the action in the
// query decides, that action's, else r itself. A query that names several actions
// has the first. For keeps nothing of query and does not allocate.
func (r *Route) For(query []byte) *Route {
	if len(r.actions) == 0 {
		return r
	}
	for rest := query; len(rest) > 0; {
		var piece []byte
		piece, rest, _ = bytes.Cut(rest, ampersand)
		if name, ok := bytes.CutPrefix(piece, actionParam); ok {
			return r.action(name)
		}
	}
	return r
}

var (
	ampersand   = []byte("&")
	actionParam = []byte("action=")
)

func (r *Route) action(name []byte) *Route {
	for _, a := range r.actions {
		if string(name) == a.name {
			return a.route
		}
	}
	return r
}

// Families returns the names of all families in the order of [Route.FamilyID].
// The caller must not change the slice.
func (t *Table) Families() []string { return t.families }

// Len returns how many routes there are, those of actions included.
func (t *Table) Len() int { return t.count }

// All returns every route, the default first, then the prefixes, then the
// catalogue by path.
func (t *Table) All() []*Route {
	rows := make([]*Route, 0, len(t.exact))
	for _, r := range t.exact {
		rows = append(rows, r)
		for _, a := range r.actions {
			rows = append(rows, a.route)
		}
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].Pattern < rows[j].Pattern })
	return slices.Concat([]*Route{t.fallback}, t.prefixes, rows)
}
