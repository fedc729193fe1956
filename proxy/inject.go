package proxy

import "bytes"

// appendQuery appends query to dst, without the parameters in drop and one ampersand for
// each, and with param=token at the end unless param is empty. It escapes token. All other
// bytes stay as they are.
func appendQuery(dst, query []byte, drop paramSet, param, token string) []byte {
	dst = appendParam(dst, query, drop, param)
	if param == "" {
		return dst
	}
	return appendEscaped(dst, token)
}

// appendParam is appendQuery without the token.
func appendParam(dst, query []byte, drop paramSet, param string) []byte {
	start := len(dst)
	if drop == 0 {
		dst = append(dst, query...)
	} else {
		dst = appendWithout(dst, query, drop)
	}
	if param == "" {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, '&')
	}
	return append(append(dst, param...), '=')
}

func appendWithout(dst, query []byte, drop paramSet) []byte {
	first := true
	for rest, more := query, true; more; {
		var piece []byte
		piece, rest, more = bytes.Cut(rest, ampersand)
		name, _, _ := bytes.Cut(piece, equals)
		if paramOf(name)&drop != 0 {
			continue
		}
		if !first {
			dst = append(dst, '&')
		}
		dst = append(dst, piece...)
		first = false
	}
	return dst
}
