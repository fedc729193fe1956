package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const receiverSecret = "receiver-secret"

// receiver is an app that writes down which events it got, in a file that outlives it: its
// arguments are a socket and that file.
func receiver() {
	if err := receive(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var eventNumber = regexp.MustCompile(`<n>(\d+)</n>`)

func receive(socket, file string) error {
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		id := r.Header.Get("webhook-id")
		mac := hmac.New(sha256.New, []byte(receiverSecret))
		fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("webhook-timestamp"), body)
		n := eventNumber.FindSubmatch(body)
		if err != nil || n == nil || r.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if _, err := fmt.Fprintf(f, "%s %s\n", id, n[1]); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
}

// TestEvents_KillNine pushes events with WeChat's retries, duplicates and reorderings while the
// program and the app are ended with kill -9 again and again. Each event reaches the app, and one
// that reaches it twice has one ID.
func TestEvents_KillNine(t *testing.T) {
	t.Parallel()
	events := 2000
	if os.Getenv("WXSIDECAR_NIGHTLY") == "1" {
		events = 10_000
	}
	c := newKillWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	var killers sync.WaitGroup
	kills := make([]int, 2)
	for i, start := range []func() *exec.Cmd{c.sidecar, c.app} {
		c.pushed[i] = make(chan struct{}, 2*events)
		killers.Go(func() { kills[i] = c.keepKilling(ctx, i, start) })
	}
	c.firstTicket()
	c.pushAll(events)
	stop()
	killers.Wait()
	c.mustHaveAll(events)
	t.Logf("%d events; %d kills of the sidecar, %d of the app; %d deliveries", events, kills[0], kills[1], c.deliveries)
	if least := events / 400; kills[0] < least || kills[1] < least {
		t.Errorf("%v kills, want %d of each at least: the test shows nothing", kills, least)
	}
}

// keepKilling starts a process, ends it, and starts it again. At the end it leaves one running
// until the test is over. It returns the number of kills.
func (c *killWorld) keepKilling(ctx context.Context, killer int, start func() *exec.Cmd) (kills int) {
	rnd := rand.New(rand.NewPCG(1, uint64(killer)))
	for {
		cmd := start()
		if err := cmd.Start(); err != nil {
			c.t.Error(err)
			return kills
		}
		c.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		if awaitKill(ctx, c.pushed[killer], rnd); ctx.Err() != nil {
			return kills
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		kills++
	}
}

// awaitKill waits for up to 200 more events, on a machine of any speed; every fourth time for up to
// 200 milliseconds, which may end a process that is only starting.
func awaitKill(ctx context.Context, pushed <-chan struct{}, rnd *rand.Rand) {
	if rnd.IntN(4) == 0 {
		select {
		case <-time.After(time.Duration(rnd.IntN(200)) * time.Millisecond):
		case <-ctx.Done():
		}
		return
	}
	for range 1 + rnd.IntN(200) {
		select {
		case <-pushed:
		case <-ctx.Done():
			return
		}
	}
}

type killWorld struct {
	t          *testing.T
	binary     string
	dir        string
	sim        *wechattest.Server
	upstream   string
	merchants  []string
	pushed     [2]chan struct{} // each killer gets a value for each event that was acknowledged
	deliveries int
}

func newKillWorld(t *testing.T) *killWorld {
	t.Helper()
	c := &killWorld{t: t}
	c.binary, c.dir = buildProgram(t)
	c.sim = wechattest.New(wechattest.Options{PushRetry: 10 * time.Millisecond, Pusher: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.path("push.sock"))
		},
	}})
	t.Cleanup(c.sim.Close)
	c.sim.AddComponent(wechattest.Component{
		AppID: crashComponent, Secret: "component-secret", PushToken: crashPushToken, EncodingAESKey: crashAESKey,
		PushURL: "http://push.invalid/wechat/" + crashComponent + "/event",
	})
	c.merchants = c.sim.AddAuthorizers(crashComponent, 20)
	srv := httptest.NewServer(c.sim)
	t.Cleanup(srv.Close)
	c.upstream = srv.URL
	return c
}

func (c *killWorld) path(name string) string { return filepath.Join(c.dir, name) }

func (c *killWorld) sidecar() *exec.Cmd {
	cmd := exec.Command(c.binary, "serve")
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(),
		"WXSIDECAR_COMPONENT_APPID="+crashComponent, "WXSIDECAR_COMPONENT_SECRET=component-secret",
		"WXSIDECAR_COMPONENT_PUSH_TOKEN="+crashPushToken, "WXSIDECAR_COMPONENT_ENCODING_AES_KEY="+crashAESKey,
		"WXSIDECAR_LISTEN_APPS=off", "WXSIDECAR_LISTEN_PUSH=unix://"+c.path("push.sock"),
		"WXSIDECAR_LISTEN_METRICS=off", "WXSIDECAR_LISTEN_ADMIN=off", "WXSIDECAR_UPSTREAM_URL="+c.upstream,
		"WXSIDECAR_EVENTS_0_URL=unix://"+c.path("app.sock"), "WXSIDECAR_EVENTS_0_SECRET="+receiverSecret,
	)
	return cmd
}

// app is this test binary under the name of receiver; see TestMain.
func (c *killWorld) app() *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &exec.Cmd{Path: self, Args: []string{"receiver", c.path("app.sock"), c.path("got")}, Stderr: os.Stderr}
}

// firstTicket brings the component's first ticket, so that codes can be exchanged.
func (c *killWorld) firstTicket() {
	c.t.Helper()
	await(c.t, "the first ticket is taken", func() bool { return c.sim.PushTicket(c.t.Context(), crashComponent) == nil })
}

// pushAll pushes n events in a random order, several at once, each until it is acknowledged. Some come again
// afterwards.
func (c *killWorld) pushAll(n int) {
	c.t.Helper()
	rnd := rand.New(rand.NewPCG(3, 4))
	order := make(chan int, 2*n)
	for _, i := range rnd.Perm(n) {
		order <- i
		if rnd.IntN(10) == 0 {
			order <- rnd.IntN(n)
		}
	}
	close(order)
	created := time.Now()
	var pushers sync.WaitGroup
	for range 8 {
		pushers.Go(func() {
			for i := range order {
				for c.sim.Push(c.t.Context(), crashComponent, c.event(i, created)) != nil && c.t.Context().Err() == nil {
				}
				for _, killer := range c.pushed {
					killer <- struct{}{}
				}
			}
		})
	}
	pushers.Wait()
}

// event is the i-th event, the same each time.
func (c *killWorld) event(i int, created time.Time) wechattest.Event {
	merchant, number := c.merchants[i%len(c.merchants)], fmt.Sprintf("<n>%d</n>", i)
	if i%10 == 0 {
		return wechattest.Event{InfoType: wechattest.InfoUpdateAuthorized, AuthorizerAppID: merchant, Extra: number, CreateTime: created}
	}
	return wechattest.Event{InfoType: "notify_3rd_wxa_auth", Extra: "<appid>" + merchant + "</appid>" + number, CreateTime: created}
}

// mustHaveAll wants n events in the app's file within a minute, each under one ID.
func (c *killWorld) mustHaveAll(n int) {
	c.t.Helper()
	var have int
	defer func() { c.t.Logf("the app got %d of %d events", have, n) }()
	awaitFor(c.t, time.Minute, "all events are in the app's file", func() bool {
		have = len(c.got())
		return have == n
	})
}

// got returns the ID of each event that the app has, by its number.
func (c *killWorld) got() map[string]string {
	c.t.Helper()
	f, err := os.Open(c.path("got"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	ids := map[string]string{}
	c.deliveries = 0
	for lines := bufio.NewScanner(f); lines.Scan(); c.deliveries++ {
		id, number, _ := strings.Cut(lines.Text(), " ")
		if ids[number] != "" && ids[number] != id {
			c.t.Fatalf("event %s came as %s and as %s", number, ids[number], id)
		}
		ids[number] = id
	}
	return ids
}
