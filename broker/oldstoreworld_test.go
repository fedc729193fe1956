package broker_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/boltstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/metrics"
)

const (
	oldStoreDir = "testdata/store-c030ad9" // its README says what is in it
	otherSecret = "the-component-secret-of-the-second"
)

// oldWorld is a broker over the old store, with a simulated WeChat that takes what the
// store holds for its own.
type oldWorld struct {
	t          *testing.T
	sim        *wechattest.Server
	ring       *seal.Keyring
	old        map[string]content // by the names of then
	components []broker.ComponentConfig
	transport  http.RoundTripper

	broker *broker.Broker
	halt   func()
}

// content is a record that was opened: its fields, of JSON; of what is none the text.
type content struct {
	Generation uint64
	Fields     map[string]any
	Text       string
}

func (c content) text(field string) string {
	s, _ := c.Fields[field].(string)
	return s
}

// copyOldStore returns the path of a copy of the old store's file.
func copyOldStore(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wxsidecar.db")
	file := must(os.ReadFile(filepath.Join(oldStoreDir, "wxsidecar.db")))
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newOldWorld(t *testing.T) *oldWorld {
	w := &oldWorld{t: t, sim: wechattest.New(wechattest.Options{Now: time.Now, Seed: 2})}
	w.ring = must(seal.New(must(seal.ReadKeyFile(filepath.Join(oldStoreDir, "wxsidecar.key"))), nil))
	st := w.open(copyOldStore(t))
	w.old = w.contents(st)
	w.close(st)
	texts := []string{}
	for id, appSecret := range map[string]string{componentID: appSecret, otherComponentID: otherSecret} {
		w.sim.AddComponent(wechattest.Component{AppID: id, Secret: appSecret})
		texts = append(texts, w.old["component/"+id].text("token"), w.componentToken(id, appSecret))
	}
	w.sim.AddAccount(ownID, ownSecret)
	for name, record := range w.old {
		kind, appID, _ := strings.Cut(name, "/")
		if kind == "authorizer" {
			w.sim.AddAuthorizer(record.text("component"), appID)
		}
		if refresh := record.text("refresh_token"); refresh != "" {
			texts = append(texts, refresh, w.sim.RefreshToken(record.text("component"), appID))
		}
	}
	w.sim.Revoke(componentID, merchant(7))
	w.sim.VoidRefreshToken(otherComponentID, merchant(8))
	for name, record := range w.old {
		if strings.HasPrefix(name, "inbox/") {
			texts = append(texts, record.text("code"), w.sim.Authorize(record.text("component"), record.text("appid")))
		}
	}
	w.sim.Forget()
	w.transport = translator{w.sim.Transport(), strings.NewReplacer(texts...)}
	w.components = []broker.ComponentConfig{
		{AppID: componentID, Secret: secret.New(appSecret)}, {AppID: otherComponentID, Secret: secret.New(otherSecret)},
	}
	return w
}

// componentToken has the simulated WeChat give a component its token.
func (w *oldWorld) componentToken(id, appSecret string) string {
	client := must(wechat.New(wechat.Options{Transport: w.sim.Transport(), Now: time.Now}))
	grant := must(client.ComponentToken(context.Background(), id, secret.New(appSecret), secret.New(w.sim.NewTicket(id))))
	return grant.Token.Reveal()
}

// translator puts what the simulated WeChat calls a token, a refresh token or a code in
// place of what the old store calls it.
type translator struct {
	next  http.RoundTripper
	texts *strings.Replacer
}

// RoundTrip implements [http.RoundTripper].
func (x translator) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.RawQuery = x.texts.Replace(r.URL.RawQuery)
	if r.ContentLength > 0 {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		text := x.texts.Replace(string(body))
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
	return x.next.RoundTrip(r)
}

func (w *oldWorld) open(path string) *boltstore.Store {
	st := must(boltstore.Open(boltstore.Options{Path: path, Check: func(name string, rec store.Record) error {
		_, err := w.ring.Open(name, rec.Generation, rec.Sealed)
		return err
	}}))
	w.t.Cleanup(func() { w.close(st) })
	return st
}

func (w *oldWorld) close(st *boltstore.Store) {
	if err := st.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// fill copies what the file at path holds into an empty store.
func (w *oldWorld) fill(st store.Store, path string) {
	file := w.open(path)
	defer w.close(file)
	for _, rec := range w.list(file) {
		if err := st.Put(context.Background(), store.Write{Name: rec.Name, Record: rec.Record}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *oldWorld) start(st store.Store) error {
	b, err := broker.New(broker.Options{
		Components: w.components, Accounts: []broker.AccountConfig{{AppID: ownID, Secret: secret.New(ownSecret)}},
		WeChat: must(wechat.New(wechat.Options{Transport: w.transport, Now: time.Now})),
		Store:  st, Seal: w.ring, Now: time.Now, Metrics: metrics.New("test"),
	})
	if err != nil {
		return err
	}
	w.broker, w.halt = b, run(b)
	w.t.Cleanup(w.halt) // also when a test gives up, else the bubble never ends
	synctest.Wait()
	return nil
}

func (w *oldWorld) mustStart(st store.Store) {
	w.t.Helper()
	if err := w.start(st); err != nil {
		w.t.Fatal(err)
	}
}

func (w *oldWorld) list(st store.Store) []store.Named {
	return must(st.List(context.Background(), "", "", 1000))
}

func (w *oldWorld) contents(st store.Store) map[string]content {
	all := map[string]content{}
	for _, rec := range w.list(st) {
		plain := must(w.ring.Open(rec.Name, rec.Generation, rec.Sealed))
		c := content{Generation: rec.Generation}
		if json.Unmarshal(plain, &c.Fields) != nil {
			c.Text = string(plain)
		}
		all[rec.Name] = c
	}
	return all
}
