package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"

	"github.com/silenceper/wechat/v2/officialaccount/config"
	"github.com/silenceper/wechat/v2/officialaccount/context"
	"github.com/silenceper/wechat/v2/officialaccount/message"
	"github.com/silenceper/wechat/v2/officialaccount/server"
)

func serve(app string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	account := &context.Context{Config: &config.Config{AppID: appID, Token: token, EncodingAESKey: key}}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", func(w http.ResponseWriter, req *http.Request) {
		if err := answer(w, req, account, client, app); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /mallocs", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprint(w, m.Mallocs)
	})
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(l, mux)
}

func answer(w http.ResponseWriter, req *http.Request, account *context.Context, client *http.Client, app string) error {
	s := server.NewServer(account)
	s.Writer, s.Request = w, req
	s.SetMessageHandler(func(*message.MixMessage) *message.Reply {
		text, err := ask(client, app, s.RequestRawXMLMsg)
		if err != nil {
			return nil
		}
		return &message.Reply{MsgType: message.MsgTypeText, MsgData: message.NewText(text)}
	})
	if err := s.Serve(); err != nil {
		return err
	}
	return s.Send()
}

// ask hands a message to the app, and returns the Content of its reply.
func ask(client *http.Client, app string, plain []byte) (string, error) {
	resp, err := client.Post(app, "text/xml", bytes.NewReader(plain))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var reply struct{ Content string }
	err = xml.Unmarshal(body, &reply)
	return reply.Content, err
}
