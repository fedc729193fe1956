package push_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

// sharedRig is one of several servers on one store; all have the same app.
type sharedRig struct {
	*rig
	view *memstore.Shared
}

// newSharedRigs returns that many.
func newSharedRigs(t *testing.T, n int) ([]sharedRig, *app) {
	t.Helper()
	keys, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{}
	a.set(textReply, nil)
	shared := memstore.New(memstore.Options{})
	rigs := make([]sharedRig, n)
	for i := range rigs {
		view := shared.Shared(string(rune('a' + i)))
		r, _ := newMessageRig(t, func(o *push.Options) { o.Memory, o.Seal, o.Messages = view, keys, a })
		rigs[i] = sharedRig{r, view}
	}
	return rigs, a
}

func unauthorizedPush(t *testing.T) call {
	t.Helper()
	return sealed(t, token, aesKey, component, "<xml><AppId>"+component+"</AppId><CreateTime>1800000000</CreateTime>"+
		"<InfoType>unauthorized</InfoType><AuthorizerAppid>"+merchant+"</AuthorizerAppid></xml>", start)
}

// handledPushes is how many pushes all handlers got.
func handledPushes(rigs []sharedRig) int {
	n := 0
	for _, r := range rigs {
		n += len(r.handler.got())
	}
	return n
}

func TestShared_EventIsHandledOnce(t *testing.T) {
	r, _ := newSharedRigs(t, 2)
	c := unauthorizedPush(t)
	r[0].handler.set(func() {
		r[0].handler.handle = func(context.Context, wechat.Push) error { return errors.New("the store is away") }
	})
	r[0].wantStatus(c, http.StatusInternalServerError)
	r[1].wantSuccess(c)
	r[0].wantSuccess(c)
	r[1].wantSuccess(c)
	if n := handledPushes(r); n != 2 {
		t.Errorf("handled %d times; want one failure and one success", n)
	}
	r[1].wantCounted("unauthorized", "accepted", 1)
	r[1].wantCounted("unauthorized", "repeated", 1)
	r[0].wantCounted("unauthorized", "repeated", 1)
}

func TestShared_MessageReachesTheAppOnce(t *testing.T) {
	r, a := newSharedRigs(t, 3)
	for _, c := range []call{message(t, messagePath, component, textXML(1)), message(t, accountPath, account, textXML(2))} {
		for i := range 9 {
			appID := component
			if c.path == accountPath {
				appID = account
			}
			r[i%3].wantReply(c, aesKey, appID, textReply)
		}
	}
	if n := len(a.messages()); n != 2 {
		t.Errorf("the app got %d messages; want 2", n)
	}
}

// Many copies at once to all replicas.
func TestShared_CopiesTogether(t *testing.T) {
	r, a := newSharedRigs(t, 3)
	var copies sync.WaitGroup
	for i := range 60 {
		copies.Go(func() {
			r[i%3].wantReply(message(t, messagePath, component, textXML(i/6)), aesKey, component, textReply)
		})
		copies.Go(func() { r[i%3].wantSuccess(unauthorizedPush(t)) })
	}
	copies.Wait()
	if n := len(a.messages()); n != 10 {
		t.Errorf("the app got %d messages; want 10", n)
	}
	if n := handledPushes(r); n != 1 {
		t.Errorf("the event was handled %d times; want once", n)
	}
}

// While the store does not answer WeChat keeps the events, and messages are handled all the same.
// Tickets do not ask it.
func TestShared_StoreAway(t *testing.T) {
	r, a := newSharedRigs(t, 2)
	r[0].view.Down(errors.New("no route"))
	r[0].wantSuccess(ticketPush(t))
	r[0].wantSuccess(ticketPush(t))
	r[0].wantStatus(unauthorizedPush(t), http.StatusInternalServerError)
	if n := handledPushes(r); n != 1 {
		t.Errorf("%d pushes were handled; want the ticket alone", n)
	}
	r[0].wantReply(message(t, messagePath, component, textXML(1)), aesKey, component, textReply)
	r[0].wantReply(message(t, messagePath, component, textXML(1)), aesKey, component, textReply)
	r[0].wantSeries("wxsidecar_messages_alone_total 1\n")
	r[1].wantReply(message(t, messagePath, component, textXML(1)), aesKey, component, textReply)
	if n := len(a.messages()); n != 2 {
		t.Errorf("the app got the message %d times; want once from each", n)
	}
	r[0].view.Down(nil)
	r[0].wantSuccess(unauthorizedPush(t))
	r[1].wantSuccess(unauthorizedPush(t))
	if n := handledPushes(r); n != 2 {
		t.Errorf("%d pushes were handled; want the ticket and the event", n)
	}
	r[1].wantSeries("wxsidecar_messages_alone_total 0\n")
}

func TestNew_MemoryNeedsSeal(t *testing.T) {
	if _, err := push.New(push.Options{Handler: &handler{}, Memory: memstore.New(memstore.Options{}).Shared("a")}); err == nil {
		t.Error("New took a memory without keys")
	}
}
