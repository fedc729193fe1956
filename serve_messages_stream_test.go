package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/config"
)

// countingApp answers each message with how often it got that message.
type countingApp struct {
	mu    sync.Mutex
	times map[string]int // by Webhook-Id
}

func (a *countingApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct{ ToUserName, FromUserName, Content, Event string }
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := r.Header.Get("Webhook-Id")
	a.mu.Lock()
	a.times[id]++
	n := a.times[id]
	a.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{ // the test sees a missing answer
		"ToUserName": m.FromUserName, "FromUserName": m.ToUserName, "CreateTime": 1, "MsgType": "text",
		"Content": fmt.Sprintf("%s%s, %d", m.Content, m.Event, n),
	})
}

// WeChat sends a message up to three times, at once or later, and in any order. The app gets each
// once, and each copy the reply to its own message.
func TestServe_MessagesRepeatedAndReordered(t *testing.T) {
	t.Parallel()
	sim := wechattest.New(wechattest.Options{})
	t.Cleanup(sim.Close)
	sim.AddComponent(wechattest.Component{AppID: scriptComponent, Secret: scriptAppSecret})
	app := &countingApp{times: map[string]int{}}
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	startWithComponent(t, sim, func(c *config.Config) { c.Events = []config.Event{{URL: server.URL, Format: "json"}} })

	const messages, copies, senders = 200, 3, 8
	sent := make(chan wechattest.Message, messages*copies)
	for _, at := range rand.Perm(messages * copies) {
		n := at % messages
		m := wechattest.Message{FromUserName: "oUser", CreateTime: time.Unix(1_800_000_000, 0), Content: fmt.Sprint("message ", n), MsgID: uint64(n + 1)}
		if n%4 == 0 {
			m = wechattest.Message{FromUserName: "oUser", CreateTime: m.CreateTime, Event: fmt.Sprint("EVENT", n)}
		}
		sent <- m
	}
	close(sent)
	var group sync.WaitGroup
	for range senders {
		group.Go(func() {
			for m := range sent {
				reply, err := sim.PushMessage(t.Context(), scriptComponent, scriptAuthorizer, m)
				if want := m.Content + m.Event + ", 1"; err != nil || reply.Content != want {
					t.Errorf("reply %q, %v; want %q", reply.Content, err, want)
				}
			}
		})
	}
	group.Wait()
	if got := len(app.times); got != messages {
		t.Errorf("the app got %d messages, want %d", got, messages)
	}
	for id, n := range app.times {
		if n != 1 {
			t.Errorf("the app got %s %d times", id, n)
		}
	}
}
