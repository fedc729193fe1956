package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

const webhookSecret = "a secret of the entry in events"

// programs are the two forms of the app.
var programs = map[string][]string{
	"go":     {"go", "-listen", "127.0.0.1:0"},
	"python": {"/usr/bin/python3", "app.py", "127.0.0.1:0"},
}

// running is an app in a process of its own.
type running struct {
	t       *testing.T
	address string
	out     *bufio.Reader
	client  *relay.Client
	skew    time.Duration // of the clock by which is signed
}

// start runs a program, which it builds if it is ours in Go, until the test ends.
func start(t *testing.T, program []string, webhookSecret string) *running {
	t.Helper()
	if program[0] == "go" {
		binary := t.TempDir() + "/events"
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		program = append([]string{binary}, program[1:]...)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Env = append(cmd.Environ(), "WEBHOOK_SECRET="+webhookSecret)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &running{t: t, out: bufio.NewReader(pipe)}
	a.client = relay.New(relay.Options{Now: func() time.Time { return time.Now().Add(a.skew) }})
	t.Cleanup(func() {
		a.client.Close()
		stop()
		_ = cmd.Wait() // it was killed
	})
	a.address = strings.TrimPrefix(a.line(), "listening on ")
	return a
}

// line returns what the app prints next.
func (a *running) line() string {
	a.t.Helper()
	line, err := a.out.ReadString('\n')
	if err != nil {
		a.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// deliver delivers as the sidecar does, with the signature of secret.
func (a *running) deliver(signedWith string, d relay.Delivery) ([]byte, error) {
	a.t.Helper()
	target, err := relay.NewTarget(relay.TargetOptions{URL: "http://" + a.address + "/wx", Format: relay.JSON, Secret: secret.New(signedWith)})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.client.Deliver(a.t.Context(), target, &d)
}

func message(id, msgType, content string) relay.Delivery {
	return relay.Delivery{ID: id, AppID: "wxa1", MsgType: msgType, Body: []byte(
		"<xml><ToUserName>gh_1</ToUserName><FromUserName>oUser</FromUserName><MsgType>" + msgType + "</MsgType><Content><![CDATA[" + content + "]]></Content></xml>")}
}

func authorized(id, appID string) relay.Delivery {
	return relay.Delivery{ID: id, AppID: appID, InfoType: "authorized", Body: []byte(
		"<xml><InfoType>authorized</InfoType><AuthorizerAppid>" + appID + "</AuthorizerAppid></xml>")}
}

func TestApp(t *testing.T) {
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			a := start(t, program, webhookSecret)
			answer, err := a.deliver(webhookSecret, message("1", "text", `hi "you" & 你`))
			var r reply
			if err != nil || json.Unmarshal(answer, &r) != nil {
				t.Fatalf("reply %s, %v", answer, err)
			}
			if r.ToUserName != "oUser" || r.FromUserName != "gh_1" || r.MsgType != "text" || r.CreateTime == 0 || r.Content != `You wrote: hi "you" & 你` {
				t.Errorf("reply %s", answer)
			}
			if answer, err := a.deliver(webhookSecret, message("2", "image", "")); err != nil || len(answer) > 0 {
				t.Errorf("reply to a picture: %s, %v", answer, err)
			}
			// The first comes twice and is handled once.
			for _, d := range []relay.Delivery{authorized("3", "wxa1"), authorized("3", "wxa1"), authorized("4", "wxa2")} {
				if _, err := a.deliver(webhookSecret, d); err != nil {
					t.Error(err)
				}
			}
			if got := a.line() + ", " + a.line(); got != "authorized wxa1, authorized wxa2" {
				t.Errorf("handled %s", got)
			}
		})
	}
}

func TestApp_Refuses(t *testing.T) {
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			a := start(t, program, "whsec_"+base64.StdEncoding.EncodeToString([]byte(webhookSecret)))
			f := func(what, signedWith string, skew time.Duration, want int) {
				t.Helper()
				a.skew = skew
				_, err := a.deliver(signedWith, authorized("1", "wxa1"))
				var status *relay.StatusError
				if want == 0 && err != nil || want != 0 && (!errors.As(err, &status) || status.Status != want) {
					t.Errorf("%s: %v; want status %d", what, err, want)
				}
			}
			f("the bytes of the key", webhookSecret, 0, 0)
			f("another key", "another", 0, http.StatusUnauthorized)
			f("no signature", "", 0, http.StatusUnauthorized)
			f("an old one", webhookSecret, -6*time.Minute, http.StatusUnauthorized)
			f("one of the future", webhookSecret, 6*time.Minute, http.StatusUnauthorized)
			resp, err := http.Post("http://"+a.address+"/wx", "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("without headers: %s", resp.Status)
			}
		})
	}
}

// A body that was not read whole did not arrive, whoever signed it.
func TestApp_LongBodies(t *testing.T) {
	a := &app{key: []byte(webhookSecret), out: io.Discard, done: map[string]bool{}}
	for length, want := range map[int]int{maxBody: http.StatusUnauthorized, maxBody + 1: http.StatusBadRequest} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/wx", strings.NewReader(strings.Repeat("x", length))))
		if w.Code != want {
			t.Errorf("%d bytes: status %d, want %d", length, w.Code, want)
		}
	}
}

// Nobody can be told from others by a secret that is empty.
func TestApp_NeedsSecret(t *testing.T) {
	t.Setenv("WEBHOOK_SECRET", "")
	if err := run("127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "WEBHOOK_SECRET") {
		t.Errorf("go: %v", err)
	}
	python := programs["python"]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, python[0], python[1:]...).CombinedOutput(); err == nil || !strings.Contains(string(out), "set WEBHOOK_SECRET") {
		t.Errorf("python: %v: %s", err, out)
	}
}
