package wechattest

import (
	"strings"
	"time"
)

// Mode is a way in which an answer fails. The texts are those of the control API
// of the simulator program.
type Mode string

// Connections that fail. In memory they are the errors that net/http reports.
const (
	// Refuse: the connection is not made.
	Refuse Mode = "refuse"
	// ResetBefore: reset before the request's body is read.
	ResetBefore Mode = "reset-before"
	// ResetAfter: reset after the request was read.
	ResetAfter Mode = "reset-after"
	// Close: closed after the request was read, without a byte.
	Close Mode = "close"
	// Hang: no answer until the client leaves, [Server.ClearFaults] or
	// [Server.Close].
	Hang Mode = "hang"
	// ResetHeaders and ResetBody: reset after the headers, and amid the body.
	ResetHeaders Mode = "reset-headers"
	ResetBody    Mode = "reset-body"
	// Truncate: half of the promised Content-Length, then closed.
	Truncate Mode = "truncate"
	// TruncateSilent: half of the body without a length, then closed, which a
	// client cannot see.
	TruncateSilent Mode = "truncate-silent"
	// TruncateChunked: half of a chunked body, then closed without the last chunk.
	TruncateChunked Mode = "truncate-chunked"
)

// Answers that are garbage instead of the true one.
const (
	HTML      Mode = "html"
	Empty     Mode = "empty"
	BadJSON   Mode = "bad-json"
	NullJSON  Mode = "null"
	ArrayJSON Mode = "array"
)

// Answers that are true but spoilt; the call has taken effect.
const (
	BOM              Mode = "bom"
	ExpiresZero      Mode = "expires-zero"
	ExpiresNegative  Mode = "expires-negative"
	ExpiresHuge      Mode = "expires-huge"
	ExpiresString    Mode = "expires-string"
	ExpiresFloat     Mode = "expires-float"
	ExpiresExponent  Mode = "expires-exponent"
	ExpiresNaN       Mode = "expires-nan"
	ExpiresMissing   Mode = "expires-missing"
	DuplicateKeys    Mode = "duplicate-keys"
	TokenCRLF        Mode = "token-crlf"
	TokenLong        Mode = "token-long"
	TokenEmpty       Mode = "token-empty"
	TokenMissing     Mode = "token-missing"
	TokenNumber      Mode = "token-number"
	RefreshEmpty     Mode = "refresh-empty"
	RefreshMissing   Mode = "refresh-missing"
	ErrcodeAsText    Mode = "errcode-text"
	ErrcodeZeroAdded Mode = "errcode-zero"
	// TextsRaw puts raw control characters, wrong escapes and half a character into
	// the texts that merchants choose.
	TextsRaw Mode = "texts-raw"
	// CountsAsText writes the list's total_count and auth_time as strings.
	CountsAsText Mode = "counts-text"
	// ListItemBad leaves the appid of the first account of a page empty.
	ListItemBad Mode = "list-item-bad"
)

// Modes returns all modes, for help texts and for tests that try each.
func Modes() []Mode {
	return []Mode{
		Refuse, ResetBefore, ResetAfter, Close, Hang, ResetHeaders, ResetBody,
		Truncate, TruncateSilent, TruncateChunked, HTML, Empty, BadJSON, NullJSON, ArrayJSON,
		BOM, ExpiresZero, ExpiresNegative, ExpiresHuge, ExpiresString, ExpiresFloat, ExpiresExponent,
		ExpiresNaN, ExpiresMissing, DuplicateKeys, TokenCRLF, TokenLong, TokenEmpty,
		TokenMissing, TokenNumber, RefreshEmpty, RefreshMissing, ErrcodeAsText, ErrcodeZeroAdded,
		TextsRaw, CountsAsText, ListItemBad,
	}
}

// Fault is a failure of some calls. With no outcome (neither Mode nor Errcode,
// Status, Body or Raw) it only delays; delays of several faults add up.
type Fault struct {
	// Host and AppID narrow the fault to calls of that host, and of that
	// account or component; empty matches all.
	Host, AppID string
	// Component narrows the fault to calls that are made for that component, by the
	// token or by component_appid; empty matches all.
	Component string
	// Mode is a way to fail. Beside Errcode or Status it spoils that answer.
	Mode Mode
	// Errcode is answered with WeChat's text, or with Errmsg.
	Errcode int
	Errmsg  string
	// Status is answered with Header and Body; 0 with a Body means 200. A
	// redirect without a Location goes to a cloud's metadata address.
	Status int
	Header map[string]string
	Body   string
	// Raw is sent in place of the whole answer, byte by byte as it stands; then
	// the connection is closed.
	Raw string
	// Latency is waited for before the call takes effect, Drip before each byte
	// of the body.
	Latency, Drip time.Duration
	// Chunked leaves Content-Length out of an answer that is otherwise true.
	Chunked bool
	// Effect: the call takes effect although its answer is lost, so a token was
	// issued that nobody knows. Modes that spoil a true answer imply it.
	Effect bool
	// Times is how many calls fail; 0 means all, until [Server.ClearFaults].
	Times int
	// Probability is the share of calls that fail; 0 means all.
	Probability float64
}

// armedFault is a fault on its path. Its count is guarded by the server's lock.
type armedFault struct {
	path string
	Fault
	struck int
}

// Fault makes calls of path fail. A path that ends in a star is a prefix, and ""
// or "*" is every path. Of several faults that match a call, the first added that
// has an outcome and is not used up strikes, so faults with Times make a script.
func (s *Server) Fault(path string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &armedFault{path: path, Fault: f})
}

// ClearFaults removes all faults and lets go of calls that hang.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	close(s.released)
	s.released = make(chan struct{})
}

// outcome reports whether the fault does more than delay.
func (f Fault) outcome() bool {
	return f.Mode != "" || f.Errcode != 0 || f.Status != 0 || f.Body != "" || f.Raw != ""
}

func (f Fault) early() bool { return f.Mode == Refuse || f.Mode == ResetBefore }

// takesEffect reports whether WeChat carries the call out.
func (f Fault) takesEffect() bool {
	if f.early() {
		return false
	}
	if f.Effect || !f.outcome() {
		return true
	}
	if f.Errcode != 0 || f.Status != 0 || f.Body != "" || f.Raw != "" {
		return false
	}
	switch f.Mode {
	case ResetAfter, Close, Hang, HTML, Empty, BadJSON, NullJSON, ArrayJSON:
		return false
	default:
		return true
	}
}

// covers reports whether the fault may strike a call of path at host.
func (a *armedFault) covers(path, host string) bool {
	if a.Times > 0 && a.struck >= a.Times || a.Host != "" && a.Host != bareHost(host) {
		return false
	}
	if prefix, ok := strings.CutSuffix(a.path, "*"); ok {
		return strings.HasPrefix(path, prefix)
	}
	return a.path == "" || a.path == path
}

// bareHost is host without its port.
func bareHost(host string) string {
	name, _, _ := strings.Cut(host, ":")
	return name
}
