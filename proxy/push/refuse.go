package push

import (
	"errors"
	"net/http"
)

// refusal is why a push is refused: cause is the metric's label, hint is for the operator.
// It is logged and never sent.
type refusal struct {
	cause, hint string
	err         error
	more        []any
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

// wrongPath is the refusal of a request to a path that is not served. One that looks like
// WeChat's is logged, since a wrong URL in WeChat's console would otherwise look as if nothing
// arrived. What scanners send has no signature.
func wrongPath(r *request) *refusal {
	isPush := r.method == http.MethodPost && (r.msgSignature != "" || r.signature != "")
	isCheck := r.method == http.MethodGet && r.signature != "" && r.echo != ""
	if !isPush && !isCheck {
		return &refusal{cause: "not_a_push"}
	}
	return &refusal{
		cause: "unknown_path", more: []any{"path", clip(r.path)},
		hint: "authorization events are taken at /wechat/<component appid>/event, messages at /wechat/<component appid>/message/$APPID$, " +
			"those of an own account that has a push_token at /wechat/<its appid>/message",
	}
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
	if r.account != "" {
		about = append(about, "appid", clip(r.account))
	}
	if why.hint != "" {
		about = append(about, "hint", why.hint)
	}
	if why.err != nil {
		about = append(about, "error", why.err)
	}
	s.log.Warn("push refused", about...)
	if r.account == "" {
		// Who waits for a ticket wants to know of the pushes to its URL alone.
		s.handler.PushRefused(r.component, why.cause)
	}
	return refused
}

// clip shortens what anybody may send, so that it does not fill the log.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
