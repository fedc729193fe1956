// Command events is an app behind wxsidecar, in one file: it receives authorization events, and
// answers what users write. app.py is the same in Python.
//
//	WEBHOOK_SECRET=… go run ./examples/events -listen 127.0.0.1:3000
//
// with, in the sidecar's configuration,
//
//	events: [{url: "http://127.0.0.1:3000/wx", format: json, secret: …}]
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBody bounds what is read before its signature is checked.
const maxBody = 1 << 20

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "`address` to listen on")
	flag.Parse()
	if err := run(*listen); err != nil {
		fmt.Fprintln(os.Stderr, "events:", err)
		os.Exit(1)
	}
}

func run(listen string) error {
	key, err := signingKey(os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println("listening on", l.Addr())
	srv := &http.Server{Handler: &app{key: key, out: os.Stdout, done: map[string]bool{}}, ReadHeaderTimeout: 10 * time.Second}
	return srv.Serve(l)
}

// signingKey returns the key of a secret: after whsec_ it is base64, otherwise its bytes.
func signingKey(secret string) ([]byte, error) {
	if secret == "" {
		return nil, errors.New("set WEBHOOK_SECRET to the secret of the entry in events")
	}
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		return base64.StdEncoding.DecodeString(encoded)
	}
	return []byte(secret), nil
}

// app takes what the sidecar delivers.
type app struct {
	key []byte

	mu   sync.Mutex // guards the fields below
	out  io.Writer
	done map[string]bool // the ids of events that were handled; yours belong in your database
}

// push is what the app uses of WeChat's fields, of events and of messages.
type push struct {
	AuthorizerAppid                            string
	ToUserName, FromUserName, MsgType, Content string
}

// reply is a passive reply.
type reply struct {
	ToUserName, FromUserName string
	CreateTime               int64
	MsgType, Content         string
}

// ServeHTTP takes one delivery. A status of 2xx says that it arrived; an event comes again after
// any other, a message does not.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil { // too long, or cut off
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := a.verify(r.Header, body); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var p push
	if err := json.Unmarshal(body, &p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if infoType := r.Header.Get("X-Wechat-Info-Type"); infoType != "" {
		a.event(r.Header.Get("Webhook-Id"), infoType, p)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if p.MsgType != "text" {
		return // an empty answer: the user sees nothing
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply{ // the sidecar answers WeChat all the same
		ToUserName: p.FromUserName, FromUserName: p.ToUserName, CreateTime: time.Now().Unix(),
		MsgType: "text", Content: "You wrote: " + p.Content,
	})
}

// event handles an authorization event. It may come more than once, always with the same id.
func (a *app) event(id, infoType string, p push) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done[id] {
		return
	}
	fmt.Fprintln(a.out, infoType, p.AuthorizerAppid)
	a.done[id] = true
}

// verify checks the signature, by https://www.standardwebhooks.com.
func (a *app) verify(h http.Header, body []byte) error {
	timestamp := h.Get("Webhook-Timestamp")
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	if age := time.Since(time.Unix(sent, 0)); err != nil || age.Abs() > 5*time.Minute {
		return errors.New("Webhook-Timestamp is missing, or not of the last five minutes")
	}
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(h.Get("Webhook-Id") + "." + timestamp + "."))
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, got := range strings.Fields(h.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return nil
		}
	}
	return errors.New("Webhook-Signature does not fit")
}
