package wechat

import (
	"bytes"
	"fmt"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// repair makes JSON of an answer that is JSON but for the texts that merchants chose:
// WeChat writes the control characters in them as they are, and backslashes that
// escape nothing. Each is taken for what it stands for. A byte order mark is taken
// away. Valid JSON comes back as it is, in the same memory.
func repair(answer []byte) []byte {
	in := bytes.TrimPrefix(answer, byteOrderMark)
	var out []byte // of in, up to from; nil while nothing was found
	from, quoted := 0, false
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"':
			quoted = !quoted
		case !quoted:
		case c == '\\' && escapes(in[i+1:]):
			i++ // what is escaped may be a quote or a backslash
		case c == '\\' || c < ' ':
			out = fmt.Appendf(append(out, in[from:i]...), `\u%04x`, c)
			from = i + 1
		}
	}
	if out == nil {
		return in
	}
	return append(out, in[from:]...)
}

// escapes reports whether a backslash before b is an escape of JSON.
func escapes(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		return len(b) >= 5 && isHex(b[1]) && isHex(b[2]) && isHex(b[3]) && isHex(b[4])
	default:
		return false
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
