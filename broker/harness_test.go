package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/metrics/metricstest"
)

const (
	componentID = "wx7f00c0de00000001"
	ownID       = "wx00000000000000aa"
	appSecret   = "the-component-secret-0123456789ab"
	ownSecret   = "the-account-secret-0123456789abcd"
)

func merchant(i int) string { return fmt.Sprintf("wxa%015x", i) }

func authorizerOf(component, appID string) broker.Key {
	return broker.Key{Kind: broker.KindAuthorizer, AppID: appID, Component: component}
}

func authorizerKey(appID string) broker.Key {
	return authorizerOf(componentID, appID)
}

var (
	platformKey = broker.Key{Kind: broker.KindComponent, AppID: componentID}
	ownKey      = broker.Key{Kind: broker.KindAccount, AppID: ownID}
)

// world is a broker with a simulated WeChat around it, inside a synctest bubble.
type world struct {
	way     *proxyWay // nil for the straight one
	t       *testing.T
	sim     *wechattest.Server
	base    *memstore.Store // behind store, if that is shared; else nil
	store   store.Store
	broker  *broker.Broker
	metrics *metrics.Metrics
	logs    *logBuffer
	opts    broker.Options
	wall    time.Duration // how wrong our clock is

	stop context.CancelFunc
	done chan struct{}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// worldOptions say what a world is made of; the zero value has one component, no
// merchants and no own account.
type worldOptions struct {
	sim       wechattest.Options
	merchants int
	own       bool
	store     store.Store
	shared    bool // by other brokers, see another
	way       *proxyWay
	adjust    func(*broker.Options)
}

// inWorld runs f in a bubble with a running broker, and checks at the end that no
// secret was logged and that WeChat saw nothing that a good sidecar never does.
func inWorld(t *testing.T, o worldOptions, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o)
		w.start()
		defer w.check()
		defer func() { w.halt() }() // also when f gives up, else the bubble never ends
		f(w)
	})
}

func newWorld(t *testing.T, o worldOptions) *world {
	w := &world{t: t, store: o.store, way: o.way, logs: &logBuffer{}}
	o.sim.Now = time.Now
	if o.sim.Seed == 0 {
		o.sim.Seed = seeds(t, 1, 1)[0]
	}
	w.sim = wechattest.New(o.sim)
	w.sim.AddComponent(wechattest.Component{AppID: componentID, Secret: appSecret})
	for i := range o.merchants {
		w.sim.AddAuthorizer(componentID, merchant(i))
	}
	if o.shared {
		w.base = memstore.New(memstore.Options{})
		w.store = w.base.Shared("one")
	}
	if w.store == nil {
		w.store = memstore.New(memstore.Options{})
	}
	w.opts = broker.Options{Components: []broker.ComponentConfig{{AppID: componentID, Secret: secret.New(appSecret)}}}
	if o.own {
		w.sim.AddAccount(ownID, ownSecret)
		w.opts.Accounts = []broker.AccountConfig{{AppID: ownID, Secret: secret.New(ownSecret)}}
	}
	if o.adjust != nil {
		o.adjust(&w.opts)
	}
	return w
}

func keyring(t *testing.T) *seal.Keyring {
	t.Helper()
	ring, err := seal.New(bytes.Repeat([]byte{7}, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// start makes a broker over the world's store and runs it.
func (w *world) start() {
	w.t.Helper()
	w.open()
	w.run()
}

// open makes a broker over the world's store.
func (w *world) open() {
	w.t.Helper()
	client, err := wechat.New(wechat.Options{Transport: w.way.to(w.sim.Transport()), Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	o := w.opts
	o.WeChat, o.Store, o.Now = client, w.store, w.now
	o.Seal = keyring(w.t)
	w.metrics = metrics.New("test")
	w.t.Cleanup(func() { metricstest.WantNoneBorn(w.t, w.metrics) })
	o.Metrics = w.metrics
	o.Log = slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.broker, err = broker.New(o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) run() {
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.done = stop, make(chan struct{})
	go func() {
		defer close(w.done)
		_ = w.broker.Run(ctx)
	}()
	synctest.Wait()
}

func (w *world) now() time.Time { return time.Now().Add(w.wall) }

func (w *world) halt() {
	w.stop()
	<-w.done
}

// restart ends the broker and starts another over the same store.
func (w *world) restart() {
	w.halt()
	w.start()
}

// check is the end of every world.
func (w *world) check() {
	w.t.Helper()
	w.checkLogs()
	for _, v := range w.sim.Violations() {
		w.t.Errorf("WeChat saw what it never should: %s", v)
	}
}

// checkLogs fails if a secret was logged.
func (w *world) checkLogs() {
	w.t.Helper()
	logs := w.logs.String()
	for _, s := range w.sim.Secrets() {
		if strings.Contains(logs, s) {
			w.t.Errorf("a secret of %d characters stands in the log", len(s))
		}
	}
}

// ticket pushes a new ticket.
func (w *world) ticket() {
	w.t.Helper()
	w.mustPush(wechat.Push{
		ID: "t" + time.Now().String(), Component: componentID, InfoType: wechat.InfoTicket,
		CreateTime: time.Now(), Ticket: secret.New(w.sim.NewTicket(componentID)),
	})
}

func (w *world) mustPush(p wechat.Push) {
	w.t.Helper()
	if err := w.broker.HandlePush(context.Background(), p); err != nil {
		w.t.Fatalf("push %s: %v", p.InfoType, err)
	}
}

// authorize lets a merchant authorise, and pushes the event.
func (w *world) authorize(appID string) {
	w.t.Helper()
	w.mustPush(authorized(appID, w.sim.Authorize(componentID, appID)))
}

// authorized is the event of a merchant who authorised just now.
func authorized(appID, code string) wechat.Push {
	return wechat.Push{
		ID: "a" + code, Component: componentID, InfoType: wechat.InfoAuthorized, CreateTime: time.Now(),
		AuthorizerAppID: appID, Code: secret.New(code), CodeExpires: time.Now().Add(10 * time.Minute),
	}
}

// call is what the proxy does with one call of an app: take a token, call, report
// a stale one and try again. It returns WeChat's errcode.
func (w *world) call(key broker.Key) (int, error) { return w.callPath(key, pathFor(key)) }

func pathFor(key broker.Key) string {
	if key.Kind == broker.KindComponent {
		return "/wxa/gettemplatelist"
	}
	return menuPath
}

// callPath is call of another path.
func (w *world) callPath(key broker.Key, path string) (int, error) {
	var spent uint64
	var first time.Time
	var code int
	for replays := 0; ; replays++ {
		if key.Kind == broker.KindAuthorizer {
			account, err := w.broker.Account(context.Background(), key.AppID, broker.Choice{Component: key.Component})
			if err != nil {
				return 0, err
			}
			key = account.Key()
		}
		t, err := w.broker.TokenAfter(context.Background(), key, spent)
		if err != nil {
			return 0, err
		}
		if replays > 0 && t.Generation == spent && (key.Kind != broker.KindAccount || replays > 1) {
			return code, nil
		}
		code = w.usePath(path, t)
		if code == 0 {
			t.Served([]byte(path), replays > 0)
		}
		if !wechat.Stale(code) || replays == 3 {
			return code, nil
		}
		spent = t.Generation
		if !w.broker.Report(key, spent, broker.Refusal{Errcode: code, Path: path, First: first}) {
			return code, nil
		}
		if replays == 0 {
			first = w.broker.Now()
		}
	}
}

// use makes one call with a token and returns the errcode.
func (w *world) use(key broker.Key, t *broker.Token) int { return w.usePath(pathFor(key), t) }

func (w *world) usePath(path string, t *broker.Token) int {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://api.weixin.qq.com"+path+"?access_token="+t.Value(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.sim.Transport().RoundTrip(req)
	if err != nil {
		return -1
	}
	defer func() { _ = resp.Body.Close() }()
	return errcodeOf(w.t, resp)
}

func (w *world) mustCall(key broker.Key) {
	w.t.Helper()
	if code, err := w.call(key); code != 0 || err != nil {
		w.t.Fatalf("call of %s: errcode %d, error %v", key, code, err)
	}
}

// mustFail calls and returns the state error.
func (w *world) mustFail(key broker.Key, state broker.State) *broker.StateError {
	w.t.Helper()
	code, err := w.call(key)
	var s *broker.StateError
	if !errors.As(err, &s) || s.State != state {
		w.t.Fatalf("call of %s: errcode %d, error %v, want state %s", key, code, err, state)
	}
	return s
}
