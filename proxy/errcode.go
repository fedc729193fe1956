package proxy

import "bytes"

// errcodeScanBytes is how much of an answer is scanned. WeChat's error answers are a few
// hundred bytes; a longer answer is no error.
const errcodeScanBytes = 4096

// findErrcode returns the errcode at the top level of an answer whose first
// byte, behind a byte order mark and white space, is '{', given as a number or as a
// text of digits, also with a fraction of zeros, and 0 where there is none. The
// Content-Type does not count: WeChat sends JSON as text/plain too. Only the first 4096
// bytes are looked at, and nothing is allocated.
func findErrcode(body []byte) int {
	s := scanner{b: bytes.TrimPrefix(body[:min(len(body), errcodeScanBytes)], byteOrderMark)}
	if s.space(); !s.take('{') {
		return 0
	}
	for {
		s.space()
		key, ok := s.text()
		if s.space(); !ok || !s.take(':') {
			return 0
		}
		s.space()
		if string(key) == "errcode" {
			return s.number()
		}
		if !s.skipValue() {
			return 0
		}
		if s.space(); !s.take(',') {
			return 0
		}
	}
}

var byteOrderMark = []byte("\ufeff")

// scanner walks over JSON without building anything.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\r' || s.b[s.i] == '\t') {
		s.i++
	}
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// text returns the text between two quotes, with escapes as they are.
func (s *scanner) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for start := s.i; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return s.b[start : s.i-1], true
		}
	}
	return nil, false
}

// number reads a whole number, bare or in quotes, and returns 0 for anything else.
func (s *scanner) number() int {
	quoted := s.take('"')
	negative := s.take('-')
	n, digits := 0, 0
	for ; s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' && digits < 10; digits++ {
		n = n*10 + int(s.b[s.i]-'0')
		s.i++
	}
	if digits == 0 || !s.zeroFraction() || s.i >= len(s.b) || !endsNumber(s.b[s.i], quoted) {
		return 0
	}
	if negative {
		return -n
	}
	return n
}

// zeroFraction moves behind a fraction of zeros, if there is a fraction.
func (s *scanner) zeroFraction() bool {
	if !s.take('.') {
		return true
	}
	start := s.i
	for s.take('0') {
	}
	return s.i > start
}

func endsNumber(c byte, quoted bool) bool {
	if quoted {
		return c == '"'
	}
	switch c {
	case ',', '}', ' ', '\n', '\r', '\t':
		return true
	default:
		return false
	}
}

// skipValue moves behind one value. It returns false at the end of what is scanned.
func (s *scanner) skipValue() bool {
	depth := 0
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case '"':
			if _, ok := s.text(); !ok {
				return false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return true
			}
			depth--
		case ',':
			if depth == 0 {
				return true
			}
		}
		s.i++
	}
	return false
}
