package imports

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// tokenSort says what a token of SQL is.
type tokenSort uint8

const (
	sqlEnd     tokenSort = iota // of the text
	sqlWord                     // a bare word or number
	sqlText                     // a string
	sqlName                     // in backticks
	sqlSign                     // one byte that is none of these
	sqlComment                  // also what MySQL carries out of one
)

// sqlToken is a piece of SQL. Its text is cut after MaxValueBytes.
type sqlToken struct {
	sort tokenSort
	text string
	cut  bool
}

func (t sqlToken) is(sign string) bool { return t.sort == sqlSign && t.text == sign }

// isWord compares in any case.
func (t sqlToken) isWord(word string) bool {
	return t.sort == sqlWord && strings.EqualFold(t.text, word)
}

// sqlReader cuts SQL as mysqldump writes it into tokens, leniently and within bounds.
type sqlReader struct {
	b   *bufio.Reader
	err error // of the reader, but for its end
	// line is called with the comments that go to the end of a line; nil for nobody.
	line func(text string)
}

func newSQLReader(r io.Reader) *sqlReader { return &sqlReader{b: bufio.NewReaderSize(r, 64<<10)} }

func (r *sqlReader) byte() (byte, bool) {
	c, err := r.b.ReadByte()
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return c, err == nil
}

// peek returns the byte after the next n; 0 for none.
func (r *sqlReader) peek(n int) byte {
	next, _ := r.b.Peek(n + 1)
	if len(next) <= n {
		return 0
	}
	return next[n]
}

// next returns the next token; after the end, or an error, it is sqlEnd.
func (r *sqlReader) next() sqlToken {
	for {
		c, ok := r.byte()
		switch {
		case !ok:
			return sqlToken{}
		case c <= ' ':
		case c == '\'' || c == '"':
			return r.quoted(sqlText, c)
		case c == '`':
			return r.quoted(sqlName, c)
		case c == '#', c == '-' && r.peek(0) == '-' && r.peek(1) <= ' ':
			r.lineComment()
		case c == '/' && r.peek(0) == '*':
			return r.comment()
		case isWordByte(c):
			return r.word(c)
		default:
			return sqlToken{sort: sqlSign, text: string(c)}
		}
	}
}

func isWordByte(c byte) bool {
	return c == '_' || c == '.' || c == '$' || c == '@' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// bounded is a text of which only the beginning is kept.
type bounded struct {
	strings.Builder
	cut bool
}

func (b *bounded) add(c byte) {
	if b.Len() >= MaxValueBytes {
		b.cut = true
		return
	}
	_ = b.WriteByte(c) // documented never to fail
}

func (b *bounded) token(sort tokenSort) sqlToken { return sqlToken{sort, b.String(), b.cut} }

func (r *sqlReader) word(first byte) sqlToken {
	var text bounded
	text.add(first)
	for isWordByte(r.peek(0)) {
		c, _ := r.byte()
		text.add(c)
	}
	return text.token(sqlWord)
}

// quoted reads to the closing quote. A quote twice stands for itself, and a backslash, in strings,
// for what sqlEscapes says.
// https://dev.mysql.com/doc/refman/8.4/en/string-literals.html
func (r *sqlReader) quoted(sort tokenSort, quote byte) sqlToken {
	var text bounded
	for {
		c, ok := r.byte()
		switch {
		case !ok:
			text.cut = true // the quote is not closed
			return text.token(sort)
		case c == quote && r.peek(0) == quote:
			_, _ = r.byte()
		case c == quote:
			return text.token(sort)
		case c == '\\' && sort == sqlText:
			c, _ = r.byte()
			c = unescaped(c)
		}
		text.add(c)
	}
}

func unescaped(c byte) byte {
	const from, to = "0bnrtZ", "\x00\b\n\r\t\x1a"
	if i := strings.IndexByte(from, c); i >= 0 {
		return to[i]
	}
	return c
}

func (r *sqlReader) lineComment() {
	var text bounded
	for {
		c, ok := r.byte()
		if !ok || c == '\n' {
			break
		}
		text.add(c)
	}
	if r.line != nil {
		r.line(text.String())
	}
}

func (r *sqlReader) comment() sqlToken {
	var text bounded
	_, _ = r.byte() // the star
	for {
		c, ok := r.byte()
		if !ok || c == '*' && r.peek(0) == '/' {
			_, _ = r.byte()
			return text.token(sqlComment)
		}
		text.add(c)
	}
}
