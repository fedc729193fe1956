package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// app is a platform's app: it answers what users write. examples/events checks the signature too.
type app struct {
	url string
	srv *http.Server
	// events receives what the app hears of authorizations; it holds those of the tour.
	events chan string

	mu            sync.Mutex // guards the fields below
	got, answered string
}

// startApp starts an app on a free port of the loopback interface.
func startApp() (*app, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &app{url: "http://" + l.Addr().String() + "/wx", events: make(chan string, 16)}
	a.srv = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = a.srv.Serve(l) }() // it ends with stop
	return a, nil
}

func (a *app) stop() { _ = a.srv.Close() }

// ServeHTTP takes an event, and answers a message.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m struct{ ToUserName, FromUserName, Content, AuthorizerAppid string }
	if err != nil || json.Unmarshal(body, &m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if infoType := r.Header.Get("X-Wechat-Info-Type"); infoType != "" {
		select {
		case a.events <- infoType + " " + m.AuthorizerAppid:
		default: // after the tour nobody reads
		}
		return
	}
	answer, _ := json.Marshal(map[string]any{ // texts and a number always can be written
		"ToUserName": m.FromUserName, "FromUserName": m.ToUserName, "CreateTime": time.Now().Unix(),
		"MsgType": "text", "Content": "您写的是：" + m.Content,
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = "POST " + a.url + "\nX-Wechat-Appid: " + r.Header.Get("X-Wechat-Appid") + "\n" + string(body)
	a.answered = string(answer)
	_, _ = w.Write(answer)
}

// last returns the last message that the app got, and its answer.
func (a *app) last() (got, answered string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.got, a.answered
}
