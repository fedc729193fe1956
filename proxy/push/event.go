package push

import (
	"context"
	"log/slog"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// handleTimeout leaves a second of the five that WeChat waits for an answer.
const handleTimeout = 4 * time.Second

// readEvent returns what is to be done with a decrypted authorization event.
func (s *Server) readEvent(r *request, text []byte) (func() answer, *refusal) {
	push, err := wechat.ParsePush(text)
	if err != nil {
		return nil, &refusal{cause: "unreadable", err: err, hint: eventHint(r, text)}
	}
	if push.Component != r.component {
		return nil, &refusal{cause: "foreign_appid", hint: "AppId in the push is another component's", more: []any{"appid", push.Component}}
	}
	return func() answer { return s.handlePush(push, r.signedAt) }, nil
}

func eventHint(r *request, text []byte) string {
	if _, err := wechat.ParseMessage(r.component, "", text); err != nil {
		return ""
	}
	return "messages go to /wechat/<component appid>/message/$APPID$"
}

// handlePush passes a verified push to the handler, once.
func (s *Server) handlePush(push wechat.Push, signedAt time.Time) answer {
	ctx, cancel := context.WithTimeout(s.base, handleTimeout)
	defer cancel()
	// After that the timestamp is outside the window, so a copy is refused.
	until := signedAt.Add(s.window)
	known := s.events
	if push.InfoType == wechat.InfoTicket {
		known = s.tickets
	}
	how, _, err := known.do(ctx, push.ID, s.handler.Now(), until, func(ctx context.Context) ([]byte, error) {
		return nil, s.handler.HandlePush(ctx, push)
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
		s.countEvent(&push, "failed")
		return failed
	case how == handled:
		s.log.Info("push accepted", about...)
		s.countEvent(&push, "accepted")
	default:
		s.log.Debug("push repeated", about...)
		s.countEvent(&push, "repeated")
	}
	return success
}

func (s *Server) countEvent(push *wechat.Push, result string) {
	s.metrics.Push(push.InfoType, result)
	s.recentEvents.add(Record{
		Time: s.handler.Now(), Component: push.Component, AppID: push.AuthorizerAppID, Type: push.InfoType, ID: push.ID, Result: result,
	})
}
