package imports

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
)

// The tables of wxcloudrun-wxcomponent that hold something of interest, with their columns in the
// order in which it makes them: a dump without column lists has the values in that order, unless
// it has the table's definition.
func wxComponentTables() map[string][]string {
	return map[string][]string{
		"authorizers": {
			"id", "appid", "apptype", "servicetype", "nickname", "username", "headimg", "qrcodeurl", "principalname",
			"refreshtoken", "funcinfo", "verifyinfo", "authtime", "updatetime",
		},
		"comm":    {"key", "value", "createtime", "updatetime"},
		"wxtoken": {"id", "type", "appid", "token", "expiretime", "createtime", "updatetime"},
	}
}

// wxComponentOwn is what wxtoken.type says of the platform's own token; a merchant's has 1.
const wxComponentOwn = "2"

// wxComponentSooner is by how much wxcloudrun-wxcomponent has a token die before WeChat does.
const wxComponentSooner = time.Minute

// dumpReader reads a dump.
type dumpReader struct {
	sql *sqlReader
	// tables has the columns of each table of interest.
	tables map[string][]string
	utc    bool           // times are in UTC, as mysqldump has them unless told otherwise
	rows   map[string]int // how many were read of each table
	found  []Finding
	// open says that the first line of a dump was read, and not yet its last.
	open bool
	// charset is that of the texts, where a quote or a backslash can be half a character.
	charset string
}

// WxComponent reads what mysqldump writes of the database of wxcloudrun-wxcomponent. Only the
// tables authorizers, comm and wxtoken are looked at. An error says that the text could not be
// read to its end, or holds none of these tables.
func WxComponent(r io.Reader) ([]Finding, error) {
	d := &dumpReader{sql: newSQLReader(r), tables: wxComponentTables(), rows: map[string]int{}}
	if err := otherFormat(d.sql.b); err != nil {
		return nil, err
	}
	d.sql.line = d.lineComment
	for {
		t := d.sql.next()
		switch {
		case d.charset != "":
			return nil, fmt.Errorf("the dump is in %s: dump it again with --default-character-set=utf8mb4", d.charset)
		case t.sort == sqlEnd && d.sql.err != nil:
			return nil, fmt.Errorf("the dump cannot be read: %w", d.sql.err)
		case t.sort == sqlEnd && len(d.rows) == 0:
			return nil, errors.New("the dump has no rows of the tables authorizers, comm and wxtoken: is it one of wxcloudrun-wxcomponent's database, with data?")
		case t.sort == sqlEnd:
			return d.end(), nil
		case len(d.found) > maxFindings:
			return nil, ErrTooMany
		case t.sort == sqlComment:
			d.comment(t.text)
		case t.isWord("CREATE"):
			d.create()
		case t.isWord("INSERT"), t.isWord("REPLACE"):
			d.insert()
		case !t.is(";"):
			d.skip()
		}
	}
}

// skip goes on to the end of a statement.
func (d *dumpReader) skip() {
	for t := d.sql.next(); t.sort != sqlEnd && !t.is(";"); t = d.sql.next() {
		d.utc = d.utc || t.sort == sqlText && t.text == "+00:00"
	}
}

// table reads on to the name of a table, which may stand behind that of its database, and returns
// it with the token behind it.
func (d *dumpReader) table() (string, sqlToken) {
	t := d.sql.next()
	for t.sort == sqlComment || slices.ContainsFunc([]string{"TABLE", "IF", "NOT", "EXISTS", "INTO", "IGNORE", "DELAYED", "LOW_PRIORITY"}, t.isWord) {
		t = d.sql.next()
	}
	name, after := t.text, d.sql.next()
	for after.isWord(".") {
		name, after = d.sql.next().text, d.sql.next()
	}
	if t.sort == sqlWord { // database.table, without backticks
		name = name[strings.LastIndexByte(name, '.')+1:]
	}
	return strings.ToLower(name), after
}

// insert reads the rows of INSERT INTO name [(columns)] VALUES (…),(…);
func (d *dumpReader) insert() {
	name, t := d.table()
	columns := d.tables[name]
	if columns == nil {
		d.skip()
		return
	}
	if t.is("(") {
		columns = nil
		for t = d.sql.next(); t.sort != sqlEnd && !t.is(")"); t = d.sql.next() {
			if (t.sort == sqlName || t.sort == sqlWord) && len(columns) < maxColumns {
				columns = append(columns, strings.ToLower(t.text))
			}
		}
		t = d.sql.next()
	}
	for ; t.sort != sqlEnd && !t.is(";"); t = d.sql.next() {
		if t.is("(") && len(d.found) <= maxFindings {
			d.rows[name]++
			d.take(name, d.values(columns))
		}
	}
}

// values reads a row to its closing parenthesis.
func (d *dumpReader) values(columns []string) map[string]sqlToken {
	row, i, depth := map[string]sqlToken{}, 0, 1
	for {
		t := d.sql.next()
		switch {
		case t.sort == sqlEnd:
			return nil // it is broken off: what it has may be cut
		case t.is("("):
			depth++
		case t.is(")"):
			if depth--; depth == 0 {
				return row
			}
		case t.is(",") && depth == 1:
			i++
		case (t.sort == sqlText || t.sort == sqlWord && !strings.HasPrefix(t.text, "_")) && i < len(columns):
			row[columns[i]] = t // the last, after a character set's name
		}
	}
}

func (d *dumpReader) take(table string, row map[string]sqlToken) {
	where := fmt.Sprintf("%s, row %d", table, d.rows[table])
	f := Finding{Where: where}
	text := func(column string) string {
		t := row[column]
		if t.cut {
			f.Fault = "the value is too long or broken off"
		}
		if t.isWord("NULL") {
			return ""
		}
		return t.text
	}
	switch {
	case row == nil:
		f.Kind, f.Fault = KindRefreshToken, "the row is broken off"
		d.found = append(d.found, f)
		return
	case table == "authorizers":
		f.Kind, f.AppID, f.Value, f.At = KindRefreshToken, text("appid"), secret.New(text("refreshtoken")), d.time(text("authtime"))
	case table == "comm" && text("key") == "ticket":
		f.Kind, f.Value, f.At = KindTicket, secret.New(text("value")), d.time(text("updatetime"))
	case table == "wxtoken" && text("type") == wxComponentOwn:
		f.Kind, f.Component, f.Value = KindComponentToken, text("appid"), secret.New(text("token"))
		if dies := d.time(text("expiretime")); !dies.IsZero() {
			f.Dies = dies.Add(wxComponentSooner)
		}
	default:
		return
	}
	d.found = append(d.found, f.checked())
}

// time returns the zero time for one whose zone is not known.
func (d *dumpReader) time(text string) time.Time {
	at, err := time.Parse(time.DateTime, text)
	if err != nil || !d.utc || at.Year() < 2000 {
		return time.Time{}
	}
	return at
}

// end names the platform, which only its own token does, if there is one alone.
func (d *dumpReader) end() []Finding {
	if d.open {
		d.found = append(d.found, Finding{
			Kind: KindRefreshToken, Where: "the end of the dump", Fault: "its last line, -- Dump completed, is missing: merchants may be missing too",
		})
	}
	component := ""
	for _, f := range d.found {
		if f.Kind != KindComponentToken || f.Component == "" {
			continue
		}
		if component != "" && component != f.Component {
			return d.found
		}
		component = f.Component
	}
	for i := range d.found {
		if d.found[i].Component == "" {
			d.found[i].Component = component
		}
	}
	return d.found
}
