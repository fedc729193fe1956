package imports

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// nextLine returns the fields of the next line that is not empty, which are good until it is called
// again, and the line's number. An error repeats none of the text.
type nextLine func() (fields []string, line int, err error)

// csvLines cuts what b holds into lines of fields.
func csvLines(b *bufio.Reader) nextLine {
	comma := separator(b)
	if comma == '\t' {
		return tabLines(b)
	}
	last := 0
	budget := &budgetReader{r: b}
	lines := csv.NewReader(budget)
	lines.Comma = comma
	lines.FieldsPerRecord, lines.LazyQuotes, lines.TrimLeadingSpace, lines.ReuseRecord = -1, true, true, true
	return func() ([]string, int, error) {
		budget.left = maxLineBytes
		fields, err := lines.Read()
		parse := (*csv.ParseError)(nil)
		switch {
		case errors.Is(err, errLongLine):
			return nil, 0, longLine(last + 1)
		case errors.As(err, &parse):
			return nil, 0, fmt.Errorf("line %d: %w", parse.Line, parse.Err)
		case err != nil:
			return nil, 0, err
		}
		last, _ = lines.FieldPos(0)
		return fields, last, nil
	}
}

// separator is what stands most often in the head: a comma, or what a spreadsheet writes in its
// place where the comma is the decimal point.
func separator(b *bufio.Reader) rune {
	begin, _ := b.Peek(1 << 10)
	head, _, _ := bytes.Cut(begin, []byte("\n"))
	for _, other := range []string{";", "\t"} {
		if bytes.Count(head, []byte(other)) > bytes.Count(head, []byte(",")) {
			return rune(other[0])
		}
	}
	return ','
}

// tabLines cuts at tabs. A quote hides nothing there, as programs that write tabs, mysql for one,
// put none around what they write: it stands in names.
func tabLines(b *bufio.Reader) nextLine {
	line := 0
	lines := bufio.NewScanner(b)
	lines.Buffer(nil, maxLineBytes)
	return func() ([]string, int, error) {
		for lines.Scan() {
			line++
			if len(lines.Bytes()) == 0 {
				continue
			}
			fields := strings.Split(lines.Text(), "\t")
			for i, field := range fields {
				fields[i] = strings.Trim(field, `"`) // a spreadsheet's
			}
			return fields, line, nil
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return nil, 0, longLine(line + 1)
		case err != nil:
			return nil, 0, err
		default:
			return nil, 0, io.EOF
		}
	}
}

// errLongLine ends the reading of a line that would not fit into memory.
var errLongLine = errors.New("a line is too long")

func longLine(line int) error {
	return fmt.Errorf("line %d is longer than %d bytes: is there a quote that nothing closes? Leave out the columns that are not needed", line, maxLineBytes)
}

// budgetReader bounds how much is read for one line. What is read ahead is of the line before.
type budgetReader struct {
	r    io.Reader
	left int
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongLine
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// otherFormat names what a text is where it is none.
func otherFormat(b *bufio.Reader) error {
	begin, _ := b.Peek(4)
	for _, other := range []struct{ begin, fault string }{
		{"\x1f\x8b", "it is compressed by gzip: unpack it first"},
		{"PK\x03\x04", "it is a workbook of Excel, or another ZIP file: save it as CSV UTF-8"},
		{"\xd0\xcf\x11\xe0", "it is a workbook of Excel: save it as CSV UTF-8"},
		{"\xff\xfe", "it is in UTF-16: turn it into UTF-8 first (iconv -f UTF-16 -t UTF-8)"},
		{"\xfe\xff", "it is in UTF-16: turn it into UTF-8 first (iconv -f UTF-16 -t UTF-8)"},
	} {
		if bytes.HasPrefix(begin, []byte(other.begin)) {
			return errors.New(other.fault)
		}
	}
	return nil
}
