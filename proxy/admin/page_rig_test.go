package admin_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/proxy/admin"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

const (
	pageComponent = "wx7f00c0de00000001"
	pageSecret    = "the-component-secret-0123456789ab"
	pageOwn       = "wx00000000000000aa"
)

// operated is a broker in front of a simulated WeChat, with the page in front of it.
type operated struct {
	t       testing.TB
	sim     *wechattest.Server
	broker  *broker.Broker
	handler http.Handler
	control *told
	pushes  pushed
	outbox  *letters
	log     *bytes.Buffer
	// patience is how long until waits.
	patience time.Duration
}

// pushed are pushes that came.
type pushed struct{ events, messages []push.Record }

func (p *pushed) RecentEvents() []push.Record   { return p.events }
func (p *pushed) RecentMessages() []push.Record { return p.messages }

// letters are events that no app took.
type letters struct {
	dead        []outbox.DeadLetter
	redelivered []string
	by          string // who delivers; "" for this one
	waiting     int
}

func (l *letters) Delivers() bool                         { return l.by == "" }
func (l *letters) DeliveredBy() string                    { return l.by }
func (l *letters) Stats() (int, int, time.Duration)       { return l.waiting, len(l.dead), 0 }
func (l *letters) DeadLetters() []outbox.DeadLetter       { return l.dead }
func (l *letters) Redeliver(context.Context) (int, error) { return l.redeliver("all"), nil }
func (l *letters) RedeliverOne(_ context.Context, id string) (bool, error) {
	return l.redeliver(id) >= 0, nil
}

func (l *letters) redeliver(what string) int {
	l.redelivered = append(l.redelivered, what)
	return len(l.dead)
}

// newOperated returns one with merchants, who are there once it was given a ticket.
func newOperated(t testing.TB, merchants int, records store.Store) *operated {
	t.Helper()
	sim := wechattest.New(wechattest.Options{})
	t.Cleanup(sim.Close)
	sim.AddComponent(wechattest.Component{AppID: pageComponent, Secret: pageSecret})
	sim.AddAuthorizers(pageComponent, merchants)
	sim.AddAccount(pageOwn, pageSecret)
	return newOperatedBy(t, sim, records)
}

// newOperatedBy is newOperated in front of a WeChat that there is.
func newOperatedBy(t testing.TB, sim *wechattest.Server, records store.Store) *operated {
	t.Helper()
	o := &operated{t: t, sim: sim, control: &told{}, outbox: &letters{}, log: &bytes.Buffer{}, patience: time.Minute}
	o.broker = newBroker(t, o.sim, records)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = o.broker.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	out := time.Now().Add(time.Minute)
	h, err := admin.NewHandler(admin.Options{
		Broker: o.broker.Admin(), Control: o.control, Pushes: &o.pushes, Outbox: o.outbox,
		Upstream: func() []admin.Host {
			return []admin.Host{{Name: "api.weixin.qq.com"}, {Name: "<b>out</b>", Failures: 3, OutUntil: &out}}
		},
		About: func() admin.About { return admin.About{Version: "v9", Store: "memory:", StartedAt: time.Now()} },
		Log:   slog.New(slog.NewTextHandler(o.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	o.handler = h
	return o
}

func newBroker(t testing.TB, sim *wechattest.Server, records store.Store) *broker.Broker {
	t.Helper()
	ring, err := seal.New(bytes.Repeat([]byte{7}, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := wechat.New(wechat.Options{Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{
		Components: []broker.ComponentConfig{{AppID: pageComponent, Secret: secret.New(pageSecret)}},
		Accounts:   []broker.AccountConfig{{AppID: pageOwn, Secret: secret.New(pageSecret)}},
		WeChat:     client, Store: records, Seal: ring,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// idle returns the operators' view of a broker that does not run.
func idle(t testing.TB) broker.Admin {
	t.Helper()
	sim := wechattest.New(wechattest.Options{})
	t.Cleanup(sim.Close)
	return newBroker(t, sim, memstore.New(memstore.Options{})).Admin()
}

// ticket gives the component a ticket, and waits until the list of its merchants is read.
func (o *operated) ticket() {
	o.t.Helper()
	err := o.broker.HandlePush(o.t.Context(), wechat.Push{
		ID: "ticket", Component: pageComponent, InfoType: wechat.InfoTicket, CreateTime: time.Now(), Ticket: secret.New(o.sim.NewTicket(pageComponent)),
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.until("the list is read", func() bool {
		l := o.broker.Admin().Components()[0].List
		return !l.Pending && !l.Reading
	})
}

// until polls until is true.
func (o *operated) until(what string, is func() bool) {
	o.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(o.patience); !is(); {
		if time.Now().After(end) {
			o.t.Fatalf("in vain: %s\n%s", what, o.page("/"))
		}
		<-tick.C
	}
}

// page returns the page at a path.
func (o *operated) page(path string, headers ...string) string {
	o.t.Helper()
	res := send(o.handler, "GET", path, "", headers...)
	if res.Code != http.StatusOK {
		o.t.Errorf("%s: %d %s", path, res.Code, res.Body)
	}
	return res.Body.String()
}

// submit sends a form as the page's own browser does.
func (o *operated) submit(path, back string) (status int, location, body string) {
	o.t.Helper()
	res := send(o.handler, "POST", "/act/"+path, "back="+back, "Content-Type: application/x-www-form-urlencoded",
		"Origin: http://127.0.0.1:7083", "Sec-Fetch-Site: same-origin")
	return res.Code, res.Header().Get("Location"), res.Body.String()
}

// wants checks that a text has parts.
func (o *operated) wants(text string, parts ...string) {
	o.t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			o.t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}
