package push

import (
	"bytes"
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

// refusal is why a push is not taken: a short name for the metric, and what helps
// the operator. Nothing of it leaves but into the log.
type refusal struct {
	cause, hint string
	err         error
	more        []any
}

// event answers one authorization event.
func (s *Server) event(r *request, component string, body []byte, bodyErr error) answer {
	list := (*s.codecs.Load())[component]
	if list == nil {
		return s.refuse(r, component, &refusal{cause: "unknown_component", hint: "no component of this appid is configured; compare the URL in WeChat's console"})
	}
	if bodyErr != nil {
		return s.refuse(r, component, bodyRefusal(bodyErr))
	}
	if len(bytes.TrimSpace(body)) == 0 && signsNothing(list, r) {
		// WeChat is known to send such now and then; what is held stays.
		s.log.Warn("push without a body", "remote", r.remote, "component", component)
		s.metrics.Push("", "empty")
		return success
	}
	push, signedAt, why := s.verify(r, component, list, body)
	if why != nil {
		return s.refuse(r, component, why)
	}
	return s.hand(push, signedAt)
}

func bodyRefusal(err error) *refusal {
	if errors.Is(err, errTooLarge) {
		return &refusal{cause: "too_large", err: err}
	}
	return &refusal{cause: "cut_off", err: err}
}

// signsNothing reports whether a push without a body is WeChat's: over no body,
// signature and msg_signature are the same.
func signsNothing(list []*msgcrypt.Codec, r *request) bool {
	for _, codec := range list {
		if codec.Signs(r.signature, r.timestamp, r.nonce, "") || codec.Signs(r.msgSignature, r.timestamp, r.nonce, "") {
			return true
		}
	}
	return false
}

// verify returns the push in body and the time at which it was signed. The
// signature comes first: nobody but WeChat can then make the log speak of clocks and
// keys.
func (s *Server) verify(r *request, component string, list []*msgcrypt.Codec, body []byte) (wechat.Push, time.Time, *refusal) {
	if r.encType != "aes" {
		return wechat.Push{}, time.Time{}, &refusal{cause: "not_encrypted", hint: "encrypt_type is not aes; third-party platforms have only the encrypted mode"}
	}
	encrypt, err := msgcrypt.ParseEnvelope(body)
	if err != nil {
		return wechat.Push{}, time.Time{}, &refusal{cause: msgcrypt.Cause(err), err: err}
	}
	plain, used, err := open(list, r, encrypt)
	if err != nil {
		return wechat.Push{}, time.Time{}, &refusal{cause: msgcrypt.Cause(err), err: err, hint: keyHint(err)}
	}
	signedAt, why := s.inWindow(r.timestamp)
	if why != nil {
		return wechat.Push{}, time.Time{}, why
	}
	push, err := wechat.ParsePush(plain)
	if err != nil {
		return wechat.Push{}, time.Time{}, &refusal{cause: "unreadable", err: err}
	}
	if push.Component != component {
		return wechat.Push{}, time.Time{}, &refusal{cause: "foreign_appid", hint: "AppId in the push is another component's", more: []any{"appid", push.Component}}
	}
	if used > 0 {
		s.log.Info("push came under a previous key", "component", component, "info_type", push.InfoType)
	}
	return push, signedAt, nil
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

// inWindow reads the timestamp, in seconds, and compares it with WeChat's time.
func (s *Server) inWindow(timestamp string) (time.Time, *refusal) {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return time.Time{}, &refusal{cause: "outside_window", hint: "the timestamp is not a number"}
	}
	now, at := s.handler.Now(), time.Unix(seconds, 0)
	if d := now.Sub(at); d > s.window || d < -s.window {
		return time.Time{}, &refusal{
			cause: "outside_window", hint: "clock: an old push was sent again by somebody, or the clocks differ; compare the two times",
			more: []any{"signed_at", at.UTC(), "now", now.UTC(), "window", s.window},
		}
	}
	return at, nil
}

// hand gives a verified push to the handler, once.
func (s *Server) hand(push wechat.Push, signedAt time.Time) answer {
	ctx, cancel := context.WithTimeout(s.base, handleTimeout)
	defer cancel()
	// Beyond the window the timestamp keeps repeats out.
	until := signedAt.Add(s.window)
	how, err := s.seen.do(ctx, push.ID, s.handler.Now(), until, func(ctx context.Context) error {
		return s.handler.HandlePush(ctx, push)
	})
	about := []any{"component", push.Component, "info_type", push.InfoType, "push", push.ID}
	switch {
	case err != nil:
		// A copy's failure has been logged by the one that it shared.
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

// refuse logs and counts the cause, and gives the one answer for all causes.
func (s *Server) refuse(r *request, component string, why *refusal) answer {
	about := append([]any{"cause", why.cause, "remote", r.remote, "component", clip(component)}, why.more...)
	if why.hint != "" {
		about = append(about, "hint", why.hint)
	}
	if why.err != nil {
		about = append(about, "error", why.err)
	}
	s.log.Warn("push refused", about...)
	s.handler.PushRefused(component, why.cause)
	s.metrics.Push("", why.cause)
	return refused
}

// tellAstray logs and counts what looks like a push of WeChat's to a path that
// nothing serves, as a slip in the console makes it: otherwise it would seem that no
// push arrives. What else the internet tries has no msg_signature.
func (s *Server) tellAstray(r *request, component string) {
	if r.method != fasthttp.MethodPost || r.msgSignature == "" {
		return
	}
	s.log.Warn("push to a path that is not served", "cause", "unknown_path", "remote", r.remote, "path", clip(r.path),
		"hint", "authorization events are taken at /wechat/<component appid>/event; messages are not taken in this version")
	s.handler.PushRefused(component, "unknown_path")
	s.metrics.Push("", "unknown_path")
}

// clip keeps a path that anybody may send from filling the log.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
