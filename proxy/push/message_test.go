package push_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

func TestMessage_ReplyIsSealed(t *testing.T) {
	r, a := newMessageRig(t)
	r.wantReply(message(t, messagePath, component, textXML(1)), aesKey, component, textReply)
	got := a.messages()
	if len(got) != 1 || got[0].Component != component || got[0].AppID != merchant || got[0].MsgID != "1" || string(got[0].Document) != textXML(1) {
		t.Fatalf("the app got %+v", got)
	}
	r.wantMessages("text", "replied", 1)
	r.wantLogged("level=DEBUG", "message handled", component, merchant, "msg_type=text", "result=replied", got[0].ID)
	if told := r.handler.refused; len(told) != 0 {
		t.Errorf("the handler was told %q", told)
	}
}

func TestMessage_PreviousKeySealsItsReply(t *testing.T) {
	keys := currentKeys()
	keys.Keys = append(keys.Keys, push.Key{EncodingAESKey: secret.New(previousKey)})
	r, _ := newMessageRig(t, func(o *push.Options) { o.Components = []push.Component{keys} })
	c := sealed(t, token, previousKey, component, textXML(1), start)
	c.path = messagePath
	r.wantReply(c, previousKey, component, textReply)
	r.wantLogged("level=INFO", "push came under a previous key", component)
	// The repeat comes under the current one, and so does its reply.
	r.wantReply(message(t, messagePath, component, textXML(1)), aesKey, component, textReply)
	r.wantMessages("text", "replied", 1)
	r.wantMessages("text", "repeated", 1)
}

func TestMessage_WithoutAReply(t *testing.T) {
	r, a := newMessageRig(t)
	n := 0
	f := func(reply string, err error, result string, want int, logged ...string) {
		t.Helper()
		a.set(reply, err)
		n++
		r.wantSuccess(message(t, messagePath, component, textXML(n)))
		r.wantMessages("text", result, want)
		r.wantLogged(append(logged, "message handled", a.messages()[n-1].ID, "result="+result)...)
	}
	f("", nil, "no_reply", 1, "level=DEBUG")
	f("success", nil, "no_reply", 2)
	f(" \n", nil, "no_reply", 3)
	f(textReply, errors.New("the app is away"), "failed", 1, "level=WARN", "the app is away")
	f(textReply, push.ErrNoTarget, "no_target", 1, "level=DEBUG")
	f("<html>s3cr3t", nil, "bad_reply", 1, "level=WARN")
	f("OK", nil, "bad_reply", 2)
	f(`{"a b":"s3cr3t"}`, nil, "bad_reply", 3)
	f("<xml>"+strings.Repeat("s", 64<<10)+"</xml>", nil, "bad_reply", 4)
}

func TestMessage_NobodyTakesMessages(t *testing.T) {
	r := newRig(t)
	r.wantSuccess(message(t, messagePath, component, textXML(1)))
	r.wantMessages("text", "no_target", 1)
}

func TestMessage_RepeatsGetTheFirstAnswer(t *testing.T) {
	r, a := newMessageRig(t)
	c := message(t, messagePath, component, textXML(1))
	r.wantReply(c, aesKey, component, textReply)
	a.set("<xml><MsgType>other</MsgType></xml>", nil)
	r.wantReply(c, aesKey, component, textReply)
	r.wantReply(message(t, messagePath, component, textXML(1)), aesKey, component, textReply)
	r.wantMessages("text", "repeated", 2)
	a.set("", errors.New("away"))
	failed := message(t, messagePath, component, clickXML)
	r.wantSuccess(failed)
	a.set(textReply, nil)
	r.wantSuccess(failed)
	if got := a.messages(); len(got) != 2 || got[1].Event != "CLICK" {
		t.Errorf("the app got %+v", got)
	}
	// The same text for another merchant is another message.
	r.wantReply(message(t, "/wechat/"+component+"/message/wxa000000000000002", component, textXML(1)), aesKey, component, textReply)
}

func TestMessage_CopiesTogetherShareTheReply(t *testing.T) {
	r, a := newMessageRig(t)
	var copies sync.WaitGroup
	a.answer = func(ctx context.Context, _ *wechat.Message) ([]byte, error) { return []byte(textReply), ctx.Err() }
	for range 20 {
		copies.Go(func() { r.wantReply(message(t, messagePath, component, textXML(1)), aesKey, component, textReply) })
	}
	copies.Wait()
	if got := a.messages(); len(got) != 1 {
		t.Errorf("the app got %d messages; want 1", len(got))
	}
	r.wantMessages("text", "repeated", 19)
}

func TestMessage_PanicIsTriedAfresh(t *testing.T) {
	r, a := newMessageRig(t)
	a.answer = func(_ context.Context, m *wechat.Message) ([]byte, error) { panic(string(m.Document)) }
	c := message(t, messagePath, component, textXML(1))
	r.wantStatus(c, http.StatusInternalServerError)
	r.wantCounted("none", "panic", 1)
	a.set(textReply, nil)
	r.wantReply(c, aesKey, component, textReply)
}

func TestMessage_DeadlineWithinFiveSeconds(t *testing.T) {
	r, a := newMessageRig(t)
	a.answer = func(ctx context.Context, _ *wechat.Message) ([]byte, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 4500*time.Millisecond || time.Until(deadline) < time.Second {
			return nil, errors.New("another deadline")
		}
		return []byte(textReply), nil
	}
	r.wantReply(message(t, messagePath, component, textXML(1)), aesKey, component, textReply)
}
