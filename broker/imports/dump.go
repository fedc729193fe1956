package imports

import (
	"slices"
	"strings"
)

// comment reads what MySQL carries out of a comment.
func (d *dumpReader) comment(text string) {
	d.utc = d.utc || strings.Contains(text, "TIME_ZONE='+00:00'")
	_, name, _ := strings.Cut(text, "SET NAMES ")
	if name, _, _ = strings.Cut(name, " "); slices.Contains(halvedCharsets, name) {
		d.charset = name
	}
}

// halvedCharsets have characters whose second byte is a backslash.
var halvedCharsets = []string{"big5", "cp932", "gb18030", "gbk", "sjis"}

// lineComment notices where a dump begins and ends.
func (d *dumpReader) lineComment(text string) {
	switch {
	case strings.HasPrefix(text, "- MySQL dump "), strings.HasPrefix(text, "- MariaDB dump "):
		d.open = true
	case strings.HasPrefix(text, "- Dump completed"):
		d.open = false
	}
}

// create learns the columns of a table: the names at the beginning of its items.
func (d *dumpReader) create() {
	name, t := d.table()
	if d.tables[name] == nil || !t.is("(") {
		d.skip()
		return
	}
	var columns []string
	for depth, first := 1, true; depth > 0 && t.sort != sqlEnd; {
		t = d.sql.next()
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case first && (t.sort == sqlName || t.sort == sqlWord && !isOfKey(t.text)) && len(columns) < maxColumns:
			columns = append(columns, strings.ToLower(t.text))
		}
		first = depth == 1 && t.is(",")
	}
	if len(columns) > 0 {
		d.tables[name] = columns
	}
	d.skip()
}

// isOfKey reports whether an item that begins with a word is no column.
func isOfKey(word string) bool {
	return slices.Contains([]string{"PRIMARY", "UNIQUE", "KEY", "INDEX", "FULLTEXT", "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK"}, strings.ToUpper(word))
}

// maxColumns is more than a table of interest has.
const maxColumns = 100
