package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// traceparentLength is that of version 00: two digits of version, 32 of the trace, 16 of the
// caller's span, two of flags, and hyphens between them.
const traceparentLength = 55

// traceHeaders are dropped together: the second means nothing without the first.
var traceHeaders = []byte("traceparent,tracestate")

// validTraceparent reports whether a value is as W3C Trace Context wants it. A version later
// than 00 may have more behind what 00 has.
//
// See https://www.w3.org/TR/trace-context/#traceparent-header
func validTraceparent(v []byte) bool {
	switch {
	case len(v) < traceparentLength || v[2] != '-' || v[35] != '-' || v[52] != '-':
		return false
	case !isLowerHex(v[:2]) || !isLowerHex(v[3:35]) || !isLowerHex(v[36:52]) || !isLowerHex(v[53:55]):
		return false
	case string(v[:2]) == "ff" || allZero(v[3:35]) || allZero(v[36:52]):
		return false
	case string(v[:2]) == "00":
		return len(v) == traceparentLength
	default:
		return len(v) == traceparentLength || v[traceparentLength] == '-'
	}
}

func isLowerHex(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func allZero(text []byte) bool { return len(bytes.TrimLeft(text, "0")) == 0 }

// addTrace takes a traceparent. A second one is as bad as a malformed one: two readers could
// take either.
func (h *head) addTrace(value []byte) {
	if h.traceparent != nil || !validTraceparent(value) {
		h.badTrace = true
	}
	h.traceparent = value
}

// checkTrace drops from lines what belongs to no valid trace.
func (h *head) checkTrace(lines []byte) []byte {
	if !h.badTrace && (h.traceparent != nil || !h.tracestate) {
		return lines
	}
	h.traceparent = nil
	return dropNamed(lines, traceHeaders)
}

// makeTrace begins a trace for a call that is of none: the log has it, and
// [conn.writeHead] sends it.
func (r *request) makeTrace() {
	var id [24]byte
	for i := 0; i < len(id); i += 8 {
		binary.BigEndian.PutUint64(id[i:], rand.Uint64()|1) // never all zero
	}
	v := append(r.made[:0], "00-"...)
	v = hex.AppendEncode(v, id[:16])
	v = append(v, '-')
	v = hex.AppendEncode(v, id[16:])
	v = append(v, "-00"...) // nobody has recorded a span of it
	r.traceparent, r.madeTrace = v, true
}

// traceID returns the trace of a call; empty for none.
func (r *request) traceID() string {
	if r.traceparent == nil {
		return ""
	}
	return string(r.traceparent[3:35])
}
