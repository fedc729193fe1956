package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redistest"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// messageCounter counts messages by their Webhook-Id, and answers each with the count. Before it does
// so it calls wait.
type messageCounter struct {
	url string

	mu   sync.Mutex
	got  map[string]int
	wait func(*http.Request)
}

func newMessageCounter(t *testing.T) *messageCounter {
	t.Helper()
	a := &messageCounter{got: map[string]int{}, wait: func(*http.Request) {}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n, wait := a.count(r.Header.Get("Webhook-Id"))
		wait(r)
		fmt.Fprintf(w, "<xml><ToUserName>oUser</ToUserName><FromUserName>gh_account</FromUserName><CreateTime>1</CreateTime>"+
			"<MsgType>text</MsgType><Content>%d</Content></xml>", n)
	}))
	t.Cleanup(srv.Close)
	a.url = srv.URL
	return a
}

func (a *messageCounter) count(id string) (int, func(*http.Request)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got[id]++
	return a.got[id], a.wait
}

func (a *messageCounter) setWait(wait func(*http.Request)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wait = wait
}

// deliveries returns how many messages there were, and how often the app got one of them.
func (a *messageCounter) deliveries() (messages, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.got {
		all += n
	}
	return len(a.got), all
}

// TestReplicas_MessagesOnce has WeChat's repeats come to other replicas: the app gets each message
// once, and each copy the same reply. If the replica that had it dies, another handles the copy.
func TestReplicas_MessagesOnce(t *testing.T) {
	t.Parallel()
	app := newMessageCounter(t)
	redis := redistest.Start(t, redistest.Options{})
	w := newReplicaWorld(t, replicaOptions{
		Replicas: 3, Merchants: 1, Life: time.Hour, Store: redis.URL(),
		Env: []string{"WXSIDECAR_EVENTS_0_URL=" + app.url},
	})
	w.awaitAll()
	var copies sync.WaitGroup
	for i := range 20 {
		for range 3 {
			copies.Go(func() { w.wantReply(t.Context(), i, "1") })
		}
	}
	copies.Wait()
	for i := range 20 {
		w.wantReply(t.Context(), i, "1")
	}
	if messages, all := app.deliveries(); messages != 20 || all != 20 {
		t.Errorf("the app got %d messages %d times; want 20 once", messages, all)
	}
	w.wantNoSecretsIn(redis)
	// The first replica dies while the app thinks.
	thinking := make(chan struct{})
	app.setWait(func(r *http.Request) { close(thinking); <-r.Context().Done() })
	w.nextPushTo(0)
	copies.Go(func() { w.wantReply(t.Context(), 100, "2") })
	<-thinking
	app.setWait(func(*http.Request) {})
	w.replicas[0].running().kill()
	copies.Wait()
}

// wantReply pushes a message with that MsgId, with WeChat's tries, and wants a reply with that text.
func (w *replicaWorld) wantReply(ctx context.Context, id int, want string) {
	w.t.Helper()
	got, err := w.sim.PushMessage(ctx, replicaComponent, w.merchants[0], wechattest.Message{
		MsgType: "text", ToUserName: "gh_account", FromUserName: "oUser", MsgID: uint64(1_000_000 + id), Content: "hello",
	})
	if err != nil || got.Content != want {
		w.t.Errorf("message %d: the reply is %q, %v; want %q", id, got.Content, err, want)
	}
}
