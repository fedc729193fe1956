package push

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// messageTimeout is from the end of a message's head to the reply. It leaves half a second of
// the five that WeChat waits.
const messageTimeout = 4500 * time.Millisecond

// echo answers WeChat's check of an own account's URL.
func (s *Server) echo(r *request) answer {
	s.log.Info("WeChat checked the message URL", "appid", r.account)
	s.metrics.Message("echostr", "replied")
	return answer{status: success.status, body: r.echo}
}

// readMessage returns what is to be done with a decrypted message.
func (s *Server) readMessage(r *request, push opened) (func() answer, *refusal) {
	m, err := wechat.ParseMessage(r.component, r.account, push.text)
	if err != nil {
		return nil, &refusal{cause: "unreadable", err: err, hint: messageHint(r, push)}
	}
	return func() answer { return s.handleMessage(r, &m, push.codec) }, nil
}

func messageHint(r *request, push opened) string {
	switch {
	case r.component != "":
		return "authorization events go to /wechat/<component appid>/event"
	case push.codec == nil:
		return "if it is encrypted, the account needs encoding_aes_key"
	default:
		return ""
	}
}

// handleMessage passes a message to the handler, once for all repeats, and returns the first
// reply to each. The key that opened the message seals the reply.
func (s *Server) handleMessage(r *request, m *wechat.Message, codec *msgcrypt.Codec) answer {
	// The body's reservation would keep other pushes from being read while the handler waits.
	mem := &reservation{share: s.budget.handled}
	defer mem.release()
	if !mem.reserve(len(m.Document)) {
		s.log.Warn("message not handled; WeChat will send it again", append(about(m), "error", errBusy)...)
		s.countMessage(m, "busy")
		return failed
	}
	ctx, cancel := context.WithTimeout(s.base, messageTimeout-s.now().Sub(r.readAt))
	defer cancel()
	if ctx.Err() != nil {
		return s.messageLate(m, ctx.Err())
	}
	// After that the timestamp is outside the window, so a copy is refused.
	until := r.signedAt.Add(s.window)
	how, reply, err := s.answered.do(ctx, m.ID, s.handler.Now(), until, func(ctx context.Context) ([]byte, error) {
		return s.deliver(ctx, m), nil
	})
	switch {
	case how == handled && err != nil:
		return s.messageLate(m, err)
	case how != handled:
		s.log.Debug("message repeated", append(about(m), "error", err)...)
		s.countMessage(m, "repeated")
	}
	if errors.Is(err, errAbandoned) {
		return failed
	}
	return s.seal(reply, m.IsJSON, codec, r.nonce)
}

// messageLate answers a message that came too late to ask anybody.
func (s *Server) messageLate(m *wechat.Message, err error) answer {
	s.log.Warn("message came too slowly to be handled; WeChat will send it again", append(about(m), "error", err)...)
	s.countMessage(m, "late")
	return failed
}

// messageAlone notes that a message is handled without asking the other sidecars.
func (s *Server) messageAlone(err error) {
	s.log.Debug("message handled without asking the other sidecars; an app may get it twice", "error", err)
	s.metrics.MessageAlone()
}

// deliver asks the handler, and returns its reply as WeChat takes it; nil if there is none, and
// empty if WeChat is to be answered so.
func (s *Server) deliver(ctx context.Context, m *wechat.Message) []byte {
	reply, err := []byte(nil), ErrNoTarget
	if s.messages != nil {
		reply, err = s.messages.HandleMessage(ctx, m)
	}
	if err == nil {
		reply, err = plainReply(reply, m.IsJSON)
	}
	if errors.Is(err, ErrEmptyReply) {
		reply, err = []byte{}, nil
	}
	result, level := messageResult(ctx, reply, err)
	s.countMessage(m, result)
	attrs := append(about(m), "result", result)
	if err != nil {
		attrs, reply = append(attrs, "error", err), nil
	}
	s.log.Log(ctx, level, "message handled", attrs...)
	return reply
}

// messageResult returns the metric's label, and the level for the log.
func messageResult(ctx context.Context, reply []byte, err error) (string, slog.Level) {
	switch {
	case err == nil && reply != nil:
		return "replied", slog.LevelDebug
	case err == nil:
		return "no_reply", slog.LevelDebug
	case errors.Is(err, ErrNoTarget):
		return "no_target", slog.LevelDebug
	case errors.Is(err, errBadReply):
		return "bad_reply", slog.LevelWarn
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "late", slog.LevelWarn
	default:
		return "failed", slog.LevelWarn
	}
}

func (s *Server) countMessage(m *wechat.Message, result string) {
	s.metrics.Message(m.MsgType, result)
	s.recentMessages.add(Record{
		Time: s.handler.Now(), Component: m.Component, AppID: m.AppID, Type: m.MsgType, Event: m.Event, ID: m.ID, Result: result,
	})
}

// about are the attributes of m in the log: nothing of the user's, not even who it is.
func about(m *wechat.Message) []any {
	attrs := make([]any, 0, 16) // callers append
	return append(attrs, "component", m.Component, "appid", m.AppID, "msg_type", m.MsgType, "event", m.Event, "message", m.ID)
}
