package proxy

import "bytes"

// head has the values of the header lines that we interpret. Its bytes are those that were
// read.
type head struct {
	appid, component, key, credentials []byte

	connection      []byte // the names that Connection lists, other than keep-alive and close
	length, chunked bool
	browser         bool
	referer         []byte

	traceparent          []byte
	tracestate, badTrace bool
}

// readHead reads the raw lines of a request head and appends those that are forwarded to
// dst, unchanged. It refuses what another parser could read differently.
func readHead(dst, raw []byte) ([]byte, head, *fault) {
	var h head
	from, at := 0, 0 // what lies between them is forwarded, and is copied at once
	for at < len(raw) {
		rest := raw[at:]
		end := bytes.IndexByte(rest, '\n')
		if end < 1 || rest[end-1] != '\r' {
			return dst, h, badRequest("a header line does not end in CR LF")
		}
		line := rest[:end-1]
		if len(line) == 0 {
			break
		}
		colon, c, spelled := scanName(line)
		if colon == 0 {
			return dst, h, badRequest("a header line is folded, or its name holds what no name may hold")
		}
		value := line[colon+1:]
		if bytes.IndexByte(value, '\r') >= 0 {
			return dst, h, badRequest("a header line holds a bare CR")
		}
		if c != classPass {
			pass, f := h.add(c, spelled, line[:colon], trimBlanks(value))
			if f != nil {
				return dst, h, f
			}
			if !pass {
				dst = append(dst, raw[from:at]...)
				from = at + end + 1
			}
		}
		at += end + 1
	}
	dst = append(dst, raw[from:at]...)
	if h.length && h.chunked {
		return dst, h, badRequest("the request has both Content-Length and Transfer-Encoding")
	}
	if len(h.connection) > 0 {
		dst = dropNamed(dst, h.connection)
	}
	return h.checkTrace(dst), h, nil
}

// trimBlanks returns a value without the spaces and tabs around it.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\t'); n = len(b) {
		b = b[:n-1]
	}
	return b
}

// add adds one line to h, of a class other than classPass, and reports whether the line is
// forwarded.
func (h *head) add(c class, spelled bool, name, value []byte) (bool, *fault) {
	if !spelled {
		switch c {
		case classOurs, classAppID, classComponent, classKey:
			return false, badRequest("a header imitates one of ours with underscores; spell it with hyphens")
		default:
			return false, nil
		}
	}
	switch c {
	case classAppID:
		return false, setNonEmpty(&h.appid, value, "X-Wechat-Appid", "appid")
	case classComponent:
		return false, setNonEmpty(&h.component, value, "X-Wechat-Component", "appid")
	case classKey:
		return false, setNonEmpty(&h.key, value, "X-Wxsidecar-Key", "key")
	case classCredentials:
		return false, setOnce(&h.credentials, value, "Proxy-Authorization")
	case classConnection:
		if !equalFold(value, "keep-alive") && !equalFold(value, "close") {
			h.connection = append(append(h.connection[:len(h.connection):len(h.connection)], value...), ',')
		}
	case classFraming:
		return false, h.framing(name, value)
	case classReferer:
		return true, setOnce(&h.referer, value, "Referer")
	case classTrace:
		h.addTrace(value)
		return true, nil
	case classTraceState:
		h.tracestate = true
		return true, nil
	case classOrigin:
		h.browser = true
	case classFetchSite:
		h.browser = h.browser || !equalFold(value, "none") && !equalFold(value, "same-origin")
	}
	return false, nil
}

func (h *head) framing(name, value []byte) *fault {
	if lower(name[0]) == 'c' {
		h.length = true
		return nil
	}
	if h.chunked || !equalFold(value, "chunked") {
		return badRequest("Transfer-Encoding may be chunked, once, and nothing else")
	}
	h.chunked = true
	return nil
}

// setNonEmpty is setOnce for a value that must not be blank: a call whose account comes from
// an unset variable must not be made for the default account.
func setNonEmpty(dst *[]byte, value []byte, name, what string) *fault {
	if len(value) == 0 {
		return blankValue(what, "the header "+name)
	}
	return setOnce(dst, value, name)
}

func setOnce(dst *[]byte, value []byte, name string) *fault {
	if *dst != nil {
		return badRequest("the header " + name + " is given twice: give it once")
	}
	*dst = value
	return nil
}

// dropNamed removes the lines that a Connection header names.
func dropNamed(lines, names []byte) []byte {
	kept := lines[:0]
	for rest := lines; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		line := rest[:end]
		rest = rest[end:]
		name, _, _ := bytes.Cut(line, colonByte)
		if !lists(names, name) {
			kept = append(kept, line...)
		}
	}
	return kept
}

var (
	colonByte = []byte(":")
	commaByte = []byte(",")
)

func lists(names, name []byte) bool {
	for n := range bytes.SplitSeq(names, commaByte) {
		if bytes.EqualFold(bytes.Trim(n, " \t"), name) {
			return true
		}
	}
	return false
}
