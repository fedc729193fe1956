package push

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// handleTimeout leaves a second of the five that WeChat waits for an answer.
const handleTimeout = 4 * time.Second

var (
	success = answer{status: fasthttp.StatusOK, body: "success"}
	refused = answer{status: fasthttp.StatusForbidden}
	failed  = answer{status: fasthttp.StatusInternalServerError}
)

// refusal is why a push is refused: cause is the metric's label, hint is for the operator.
// It is logged and never sent.
type refusal struct {
	cause, hint string
	err         error
	more        []any
}

// admit checks what can be checked without the body, so that a refused request costs no
// memory for one. It returns the component's codecs.
func (s *Server) admit(r *request) ([]*msgcrypt.Codec, *refusal) {
	to, known := r.target()
	r.component = to.component
	list := (*s.codecs.Load())[to.component]
	switch {
	case !known || to.what != "event":
		return nil, wrongPath(r)
	case r.method != fasthttp.MethodPost:
		return nil, &refusal{cause: "not_a_push"}
	case list == nil:
		return nil, &refusal{cause: "unknown_component", hint: "no component of this appid is configured; compare the URL in WeChat's console"}
	case r.repeated || r.timestamp == "" || r.nonce == "" || r.msgSignature == "" && (r.signature == "" || r.length != 0):
		return nil, &refusal{cause: "parameters", hint: "msg_signature, timestamp or nonce is missing or given twice; look whether the proxy in front passes the query on"}
	}
	r.signed = signsNothing(list, r)
	var why *refusal
	if r.signedAt, why = s.inWindow(r); why != nil {
		return nil, why
	}
	if r.length > msgcrypt.MaxEnvelope {
		return nil, bodyRefusal(errTooLarge)
	}
	return list, nil
}

func bodyRefusal(err error) *refusal {
	switch {
	case errors.Is(err, errTooLarge):
		return &refusal{cause: "too_large", err: err}
	case errors.Is(err, errBusy):
		return &refusal{cause: "busy", err: err, hint: "somebody floods the push listener; limit connections in the proxy in front of it"}
	default:
		return &refusal{cause: "cut_off", err: err}
	}
}

// signsNothing reports whether one of the request's signatures is valid for an empty body.
// signature covers no body, and msg_signature of an empty body is the same.
func signsNothing(list []*msgcrypt.Codec, r *request) bool {
	for _, codec := range list {
		if codec.Signs(r.signature, r.timestamp, r.nonce, "") || codec.Signs(r.msgSignature, r.timestamp, r.nonce, "") {
			return true
		}
	}
	return false
}

// verify decrypts and returns the push in body. It ignores encrypt_type, which is not
// signed.
func verify(r *request, list []*msgcrypt.Codec, body []byte, log *slog.Logger) (wechat.Push, *refusal) {
	encrypt, err := msgcrypt.ParseEnvelope(body)
	if err != nil {
		return wechat.Push{}, &refusal{cause: msgcrypt.Cause(err), err: err}
	}
	plain, used, err := open(list, r, encrypt)
	if err != nil {
		return wechat.Push{}, &refusal{cause: msgcrypt.Cause(err), err: err, hint: keyHint(err)}
	}
	push, err := wechat.ParsePush(plain)
	if err != nil {
		return wechat.Push{}, &refusal{cause: "unreadable", err: err}
	}
	if push.Component != r.component {
		return wechat.Push{}, &refusal{cause: "foreign_appid", hint: "AppId in the push is another component's", more: []any{"appid", push.Component}}
	}
	if used > 0 {
		log.Info("push came under a previous key", "component", r.component, "info_type", push.InfoType)
	}
	return push, nil
}

func keyHint(err error) string {
	switch {
	case errors.Is(err, msgcrypt.ErrSignature):
		return "not from WeChat, or push_token differs from WeChat's console"
	case errors.Is(err, msgcrypt.ErrPadding), errors.Is(err, msgcrypt.ErrFrame):
		return "push_token is right; encoding_aes_key may differ from WeChat's console"
	case errors.Is(err, msgcrypt.ErrAppID):
		return "the push is for another component; compare the URLs in WeChat's console"
	default:
		return ""
	}
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

// handlePush passes a verified push to the handler, once.
func (s *Server) handlePush(push wechat.Push, signedAt time.Time) answer {
	ctx, cancel := context.WithTimeout(s.base, handleTimeout)
	defer cancel()
	// After that the timestamp is outside the window, so a copy is refused.
	until := signedAt.Add(s.window)
	how, err := s.seen.do(ctx, push.ID, s.handler.Now(), until, func(ctx context.Context) error {
		return s.handler.HandlePush(ctx, push)
	})
	about := []any{"component", push.Component, "info_type", push.InfoType, "push", push.ID}
	switch {
	case err != nil:
		// The call that handled the copy has logged the failure.
		level := slog.LevelError
		if how == shared {
			level = slog.LevelDebug
		}
		s.log.Log(ctx, level, "push not handled; WeChat will send it again", append(about, "error", err)...)
		s.metrics.Push(push.InfoType, "failed")
		return failed
	case how == handled:
		s.log.Info("push accepted", about...)
		s.metrics.Push(push.InfoType, "accepted")
	default:
		s.log.Debug("push repeated", about...)
		s.metrics.Push(push.InfoType, "repeated")
	}
	return success
}

// refuse counts and logs the cause, and returns the one answer for all causes. What was
// never a push, as scanners send all day, is logged at Debug.
func (s *Server) refuse(r *request, why *refusal) answer {
	s.metrics.Push("", why.cause)
	if why.cause == "not_a_push" {
		s.log.Debug("request that is no push", "remote", r.remote, "path", clip(r.path), "error", why.err)
		return refused
	}
	about := append([]any{"cause", why.cause, "remote", r.remote, "component", clip(r.component)}, why.more...)
	if why.hint != "" {
		about = append(about, "hint", why.hint)
	}
	if why.err != nil {
		about = append(about, "error", why.err)
	}
	s.log.Warn("push refused", about...)
	s.handler.PushRefused(r.component, why.cause)
	return refused
}

// wrongPath is the refusal of a request to a path that is not served. One that looks like a
// push of WeChat's is logged, since a wrong URL in WeChat's console would otherwise look as
// if no push arrived. What scanners send has no msg_signature.
func wrongPath(r *request) *refusal {
	if r.method != fasthttp.MethodPost || r.msgSignature == "" {
		return &refusal{cause: "not_a_push"}
	}
	return &refusal{
		cause: "unknown_path", more: []any{"path", clip(r.path)},
		hint: "authorization events are taken at /wechat/<component appid>/event; messages are not taken in this version",
	}
}

// clip shortens what anybody may send, so that it does not fill the log.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
