package push

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// kind is what a path takes.
type kind uint8

const (
	events   kind = iota // of a component's authorizations, and its tickets
	messages             // of an account's users
	urlCheck             // WeChat's check of an own account's URL: a GET with echostr
)

// endpoint is what an admitted request is for.
type endpoint struct {
	kind kind
	keys *keys
}

// isPlain reports whether pushes come in plain text. signature is then all that WeChat signs.
func (to endpoint) isPlain() bool { return len(to.keys.codecs) == 0 }

// admit checks what can be checked without the body, so that a refused request costs no
// memory for one. It returns what the request is for.
func (s *Server) admit(r *request) (endpoint, *refusal) {
	to, why := s.find(r)
	switch {
	case why != nil:
		return to, why
	case r.repeated || r.timestamp == "" || r.nonce == "" || !to.hasSignature(r):
		return to, &refusal{cause: "parameters", hint: to.parametersHint()}
	}
	r.signed = to.keys.signNothing(r)
	if !r.signed && (to.isPlain() || to.kind == urlCheck) {
		return to, &refusal{cause: msgcrypt.Cause(msgcrypt.ErrSignature), hint: keyHint(msgcrypt.ErrSignature)}
	}
	if r.signedAt, why = s.inWindow(r); why != nil {
		return to, why
	}
	if r.length > msgcrypt.MaxEnvelope {
		return to, bodyRefusal(errTooLarge)
	}
	return to, nil
}

// find returns the endpoint that the request's path names, and writes whose it is into r.
func (s *Server) find(r *request) (endpoint, *refusal) {
	t, known := r.target()
	to := endpoint{keys: (*s.keys.Load())[t.id]}
	r.component = t.id
	switch isAccount := to.keys != nil && to.keys.account; {
	case known && t.what == "event" && t.account == "" && !isAccount:
	case known && t.what == "message" && isAppID(t.account) && !isAccount:
		r.account, to.kind = t.account, messages
	case known && t.what == "message" && t.account == "" && isAccount:
		r.component, r.account, to.kind = "", t.id, messages
		if r.method == http.MethodGet {
			to.kind = urlCheck
		}
	default:
		return to, wrongPath(r)
	}
	switch {
	case r.method != http.MethodPost && to.kind != urlCheck:
		return to, &refusal{cause: "not_a_push"}
	case to.keys == nil:
		return to, &refusal{cause: "unknown_component", hint: "no component of this appid is configured; compare the URL in WeChat's console"}
	}
	return to, nil
}

// hasSignature reports whether a signature is there that can cover what the request says.
func (to endpoint) hasSignature(r *request) bool {
	switch {
	case to.kind == urlCheck:
		return r.signature != "" && isEcho(r.echo) && r.length == 0
	case to.isPlain():
		return r.signature != ""
	default:
		return r.msgSignature != "" || r.signature != "" && r.length == 0
	}
}

func (to endpoint) parametersHint() string {
	const passedOn = "look whether the proxy in front passes the query on"
	switch {
	case to.kind == urlCheck:
		return "signature, timestamp, nonce or echostr is missing or given twice; " + passedOn
	case to.isPlain():
		return "signature, timestamp or nonce is missing or given twice; " + passedOn
	case to.keys.account:
		return "msg_signature, timestamp or nonce is missing or given twice: choose 安全模式 in WeChat's console, or leave encoding_aes_key out for 明文模式; else " + passedOn
	default:
		return "msg_signature, timestamp or nonce is missing or given twice; " + passedOn
	}
}

// isAppID reports whether s is an appid. It may be a name in logs and headers.
func isAppID(s string) bool {
	digits, ok := strings.CutPrefix(s, "wx")
	return ok && len(digits) == 16 && strings.Trim(digits, "0123456789abcdef") == ""
}

// isEcho reports whether s may be sent back as it came: it has nothing that a browser could
// take for markup.
func isEcho(s string) bool {
	return s != "" && len(s) <= 256 && strings.IndexFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("-_.~+/=", c)
	}) < 0
}

// inWindow parses the timestamp, in seconds, and compares it with WeChat's time. Its hint
// mentions clocks only if the timestamp is signed: otherwise anybody could have sent it.
func (s *Server) inWindow(r *request) (time.Time, *refusal) {
	hint := "not from WeChat, or push_token differs from WeChat's console"
	seconds, err := strconv.ParseInt(r.timestamp, 10, 64)
	if err != nil {
		return time.Time{}, &refusal{cause: "outside_window", hint: "the timestamp is not a number"}
	}
	now, at := s.handler.Now(), time.Unix(seconds, 0)
	if d := now.Sub(at); d <= s.window && d >= -s.window {
		return at, nil
	}
	if r.signed {
		hint = "clock: an old push was sent again by somebody, or the clocks differ; compare the two times"
	}
	return time.Time{}, &refusal{
		cause: "outside_window", hint: hint,
		more: []any{"signed_at", at.UTC(), "now", now.UTC(), "window", s.window},
	}
}
