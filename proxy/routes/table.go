package routes

import (
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
)

// packed is routes.tsv as gzip makes it, a tenth of the length. make generate makes it.
//
//go:embed routes.tsv.gz
var packed string

// catalogue returns routes.tsv.
func catalogue() (string, error) {
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		return "", fmt.Errorf("routes.tsv.gz: %w", err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("routes.tsv.gz: %w", err)
	}
	return string(text), nil
}

const docBase = "https://developers.weixin.qq.com/"

// Table finds the route of a path. It never changes after [New] and is safe for
// concurrent use.
type Table struct {
	exact    map[string]*Route
	prefixes []*Route
	fallback *Route
	families []string
	ids      map[string]int
	count    int
}

// New reads the embedded catalogue. An error can only come from a damaged
// routes.tsv, and names its line.
func New() (*Table, error) {
	t := &Table{exact: map[string]*Route{}, ids: map[string]int{}}
	t.fallback = t.add(&Route{
		Pattern: "*", Param: AccessToken, Family: Other,
		Why: "the catalogue does not know the path; nearly all of WeChat's paths take the account's token in access_token",
	})
	for _, prefix := range []string{"/wxa/component/", "/componenttcb/"} {
		t.prefixes = append(t.prefixes, t.add(&Route{
			Pattern: prefix + "*", Kind: Component, Param: AccessToken, Family: family(prefix),
			Why: "every path below " + prefix + " takes the component's token",
		}))
	}
	text, err := catalogue()
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n")[1:] {
		r, err := parseRow(line)
		if err != nil {
			return nil, fmt.Errorf("routes.tsv line %d: %w", i+2, err)
		}
		if err := t.addRow(r); err != nil {
			return nil, fmt.Errorf("routes.tsv line %d: %w", i+2, err)
		}
	}
	return t, nil
}

// addRow adds a row of the catalogue: a path, or an action of a path that is in it already.
func (t *Table) addRow(r *Route) error {
	path, query, queried := strings.Cut(r.Pattern, "?")
	of := t.exact[path]
	switch name, isAction := strings.CutPrefix(query, string(actionParam)); {
	case !queried && of != nil:
		return fmt.Errorf("%s is given twice", path)
	case !queried:
		t.exact[path] = t.add(r)
	case of == nil || !isAction || of.action([]byte(name)) != of:
		return fmt.Errorf("%s is no new action of a path above it", r.Pattern)
	default:
		of.actions = append(of.actions, action{name, t.add(r)})
	}
	return nil
}

func (t *Table) add(r *Route) *Route {
	id, ok := t.ids[r.Family]
	if !ok {
		id = len(t.families)
		t.ids[r.Family] = id
		t.families = append(t.families, r.Family)
	}
	r.FamilyID, r.ID = id, t.count
	t.count++
	return r
}

func parseRow(line string) (*Route, error) {
	f := strings.Split(line, "\t")
	if len(f) != 5 {
		return nil, fmt.Errorf("%d columns, want 5", len(f))
	}
	kind := slices.Index(kindNames[:], f[1])
	if kind < 0 {
		return nil, fmt.Errorf("unknown kind %q", f[1])
	}
	r := &Route{
		Pattern: f[0], Kind: Kind(kind), Family: family(f[0]), Catalogued: true,
		Doc: docAddress(f[4]),
		Why: "the catalogue says that the path takes " + describe(Kind(kind)),
	}
	if strings.Contains(r.Pattern, "?") {
		r.Why = "the catalogue says that this action of the path takes " + describe(r.Kind)
	}
	if r.Kind == None || r.Kind == User {
		return r, nil
	}
	r.Param = f[2]
	if r.Param != AccessToken && r.Param != ComponentAccessToken {
		return nil, fmt.Errorf("unknown parameter %q", f[2])
	}
	return r, nil
}

func describe(k Kind) string {
	switch k {
	case Component:
		return "the component's token"
	case Either:
		return "either the account's or the component's token"
	case None:
		return "no token"
	case User:
		return "the token of an OAuth user, which only the app has"
	default:
		return "the account's token"
	}
}

func docAddress(column string) string {
	switch {
	case column == "-":
		return ""
	case strings.HasPrefix(column, "https://"):
		return column
	default:
		return docBase + column
	}
}

// family returns the first two segments of path, without a query.
func family(path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.SplitN(strings.Trim(path, "/"), "/", 3)
	return "/" + strings.Join(parts[:min(2, len(parts))], "/")
}
