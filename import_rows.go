package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/imports"
	"github.com/wxsidecar/wxsidecar/config"
)

// What can become of a finding beside what [broker.Importer] says.
const (
	resultMalformed = "malformed"
	resultMissing   = "missing"
	resultOther     = "other_platform"
	resultStale     = "stale"
	resultUnlisted  = "unlisted"
)

// importResults are all that there are, in the order in which they are summed up, with what each
// means.
var importResults = []struct{ name, note string }{
	{string(broker.ImportNew), ""},
	{string(broker.ImportReplaces), "in the place of an older or void one"},
	{string(broker.ImportHeld), "the store has it already"},
	{string(broker.ImportKept), "the store has another one from WeChat itself, or a newer one; this is kept beside it"},
	{string(broker.ImportDropped), "there are two others of this merchant, and no room for a third: not imported"},
	{resultStale, "WeChat shows another one, which is taken instead"},
	{resultUnlisted, "WeChat says that the merchant has not authorised the platform (61003): not imported"},
	{string(broker.ImportGone), "the merchant has taken the authorization back since: not imported"},
	{string(broker.ImportExpired), "WeChat takes a ticket for 12 hours: not imported"},
	{resultOther, "of another platform: not imported"},
	{resultMissing, "the source has none: an account without API permission, mostly"},
	{resultMalformed, ""},
}

// importRow is one thing that was found, and what becomes of it. It holds no secret.
type importRow struct {
	Kind      imports.Kind `json:"kind"`
	AppID     string       `json:"appid,omitempty"`
	Component string       `json:"component,omitempty"`
	Result    string       `json:"result"`
	// At is when the ticket was pushed, or when the merchant authorised; nil where that is not
	// known.
	At    *time.Time `json:"at,omitempty"`
	Note  string     `json:"note,omitempty"`
	Where string     `json:"where"`

	finding imports.Finding
	listed  time.Time // when WeChat was asked that shows what the finding has
}

// importRows are all rows, and what is known beside them.
type importRows struct {
	rows   []*importRow
	tokens []imports.Finding // access tokens of platforms
	// missing is how many merchants WeChat lists that the source has not.
	missing int
}

// newImportRows settles the platform of each finding, and what cannot be imported.
func newImportRows(c config.Config, o importOptions, found []imports.Finding) *importRows {
	r := &importRows{}
	sole, now := soleComponent(c, o, found), o.now()
	for _, f := range found {
		if f.Component == "" {
			f.Component = sole
		}
		if f.Kind == imports.KindComponentToken {
			r.tokens = append(r.tokens, f)
			continue
		}
		if f.At.After(now) {
			f.At = time.Time{} // the importer passes it over as well
		}
		row := &importRow{Kind: f.Kind, AppID: f.AppID, Component: f.Component, Note: f.Fault, Where: f.Where, finding: f}
		if !f.At.IsZero() {
			row.At = &f.At
		}
		switch {
		case f.Fault != "":
			row.Result = resultMalformed
		case f.Component == "":
			row.Result, row.Note = resultMalformed, "the source does not say of which platform it is: give --component"
		case o.component != "" && f.Component != o.component:
			row.Result = resultOther
		case f.AppID != "" && isComponent(c, f.AppID):
			row.Result, row.Note = resultMalformed, "that is the appid of a platform, not of a merchant"
		case !isComponent(c, f.Component):
			row.Result, row.Note = resultOther, "of a platform that is not in components: not imported"
		case f.Value.IsZero():
			row.Result = resultMissing
		}
		r.rows = append(r.rows, row)
	}
	return r
}

func isComponent(c config.Config, appID string) bool {
	return slices.ContainsFunc(c.Components, func(k config.Component) bool { return k.AppID == appID })
}

// soleComponent returns the platform of findings that do not say theirs: that of the command line,
// else the only one that the source names, else the only one that is configured.
func soleComponent(c config.Config, o importOptions, found []imports.Finding) string {
	if o.component != "" {
		return o.component
	}
	var named []string
	for _, f := range found {
		if f.Component != "" && !slices.Contains(named, f.Component) {
			named = append(named, f.Component)
		}
	}
	switch {
	case len(named) == 1:
		return named[0]
	case len(named) == 0 && len(c.Components) == 1:
		return c.Components[0].AppID
	default:
		return ""
	}
}

// items returns what is to be imported, with the row of each.
func (r *importRows) items() (items []broker.ImportItem, of []*importRow) {
	for _, row := range r.rows {
		if row.Result != "" && row.Result != resultStale {
			continue
		}
		items = append(items, broker.ImportItem{
			Component: row.Component, AppID: row.AppID, Value: row.finding.Value, At: row.finding.At, Listed: row.listed,
		})
		of = append(of, row)
	}
	return items, of
}

// settle notes what the store says. What is stale stays so.
func (row *importRow) settle(result broker.ImportResult) {
	if row.Result == "" {
		row.Result = string(result)
	}
}

func (r *importRows) count(result string) (n int) {
	for _, row := range r.rows {
		if row.Result == result {
			n++
		}
	}
	return n
}

// importReport is what -o json prints.
type importReport struct {
	From    string         `json:"from"`
	DryRun  bool           `json:"dry_run"`
	Checked bool           `json:"checked"`
	Results map[string]int `json:"results"`
	Entries []*importRow   `json:"entries"`
	// NotInSource is how many merchants WeChat lists that the source has not.
	NotInSource int `json:"not_in_source"`
}

func (r *importRows) report(w io.Writer, o importOptions) error {
	report := importReport{From: o.from.name, DryRun: !o.write, Checked: o.check, Results: map[string]int{}, Entries: r.rows, NotInSource: r.missing}
	var sums []string
	for _, known := range importResults {
		if n := r.count(known.name); n > 0 {
			report.Results[known.name] = n
			sums = append(sums, fmt.Sprintf("%s: %d", known.name, n))
		}
		for _, row := range r.rows {
			if row.Result == known.name && row.Note == "" {
				row.Note = known.note
			}
		}
	}
	if o.output == "json" {
		text, err := json.Marshal(report)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", text)
		}
		return err
	}
	now := o.now()
	table(w, "KIND APPID COMPONENT RESULT AGE WHERE NOTE", func(row func(...any)) {
		for _, one := range r.rows {
			row(one.Kind, one.AppID, one.Component, one.Result, one.age(now), one.Where, one.Note)
		}
	})
	done := "done: "
	if !o.write {
		done = "dry run, nothing was written; with --write it would be: "
	}
	fmt.Fprintln(w, done+strings.Join(sums, ", "))
	if !o.write {
		fmt.Fprintln(w, "before --write, stop what renews in the old system: while two renew, each takes the other's access tokens away")
	}
	if r.missing > 0 {
		fmt.Fprintf(w, "WeChat lists %d merchants more: serve takes their refresh tokens from its list\n", r.missing)
	}
	return nil
}

func (row *importRow) age(now time.Time) string {
	if row.At == nil {
		return ""
	}
	return now.Sub(*row.At).Round(time.Second).String()
}
