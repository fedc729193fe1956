package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
	"github.com/wxsidecar/wxsidecar/proxy/authorize"
	"github.com/wxsidecar/wxsidecar/proxy/browsertest"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

const (
	component       = "wx7f00c0de00000001"
	componentSecret = "the-component-secret-0123456789ab"
	merchant        = "wxa000000000000001"
	domain          = "b.example"
	pushToken       = "push-token"
	aesKey          = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
)

// TestPages has Chromium do what merchants do. The pages are behind TLS and a proxy, under
// the name b.example; WeChat's names lead to the simulator. SCREENSHOTS names a folder for
// pictures of all pages.
func TestPages(t *testing.T) {
	sim := wechattest.New(wechattest.Options{})
	sim.AddComponent(wechattest.Component{AppID: component, Secret: componentSecret, AuthorizeDomain: domain})
	sim.AddAuthorizer(component, merchant)
	sim.SetProfile(component, merchant, wechattest.Profile{NickName: "茶与花 Tea & Flowers", FuncInfo: []int{1, 2, 3, 4, 7, 11, 15}})
	we := sim.StartTLS()
	t.Cleanup(sim.Close)
	b := startBroker(t, sim)
	front := startFront(t, startPages(t, b))

	browsertest.Run(t, "PAGE=https://"+domain+"/wechat/"+component+"/authorize", "MERCHANT="+merchant,
		"RESOLVE="+fmt.Sprintf("MAP %s %s, MAP *.qlogo.cn %[2]s, MAP *.weixin.qq.com %s, MAP * ^NOTFOUND", domain, hostOf(t, front), hostOf(t, we)))
	account, err := b.Account(t.Context(), merchant, broker.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := b.Token(t.Context(), account.Key()); err != nil || !token.Alive(b.Now()) {
		t.Errorf("the merchant cannot be called: %v", err)
	}
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func startBroker(t *testing.T, sim *wechattest.Server) *broker.Broker {
	t.Helper()
	client, err := wechat.New(wechat.Options{Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{
		Components: []broker.ComponentConfig{{AppID: component, Secret: secret.New(componentSecret)}},
		WeChat:     client, Store: memstore.New(memstore.Options{}), Seal: keyring(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	if err := b.HandlePush(ctx, wechat.Push{
		ID: "ticket", Component: component, InfoType: wechat.InfoTicket, CreateTime: time.Now(), Ticket: secret.New(sim.NewTicket(component)),
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func keyring(t *testing.T) *seal.Keyring {
	t.Helper()
	ring, err := seal.New(bytes.Repeat([]byte{7}, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// startPages serves the pages on a push listener and returns its address.
func startPages(t *testing.T, b *broker.Broker) string {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(testLog{t}, nil))
	pages, err := authorize.New(authorize.Options{Broker: b, PublicURL: "https://" + domain, Keys: keyring(t).Derive("visits"), ForwardedFor: true, Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	server, err := push.New(push.Options{
		Components: []push.Component{{AppID: component, Keys: []push.Key{{Token: secret.New(pushToken), EncodingAESKey: secret.New(aesKey)}}}},
		Handler:    b, Pages: pages, Log: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

// startFront starts what ends TLS in front of the pages, and returns its address. Each
// request comes from another address, as the limits are not what is tested. Under WeChat's
// names for pictures it has one.
func startFront(t *testing.T, pages string) string {
	t.Helper()
	var picture bytes.Buffer
	green := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		green.Set(i%64, i/64, color.RGBA{R: uint8(40 + i/64), G: 150, B: 100, A: 255})
	}
	if err := png.Encode(&picture, green); err != nil {
		t.Fatal(err)
	}
	var visits atomic.Uint32
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: pages})
		n := visits.Add(1)
		r.Out.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.1, 10.0.%d.%d", n/250, n%250))
	}}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Host, ".qlogo.cn") {
			w.Header().Set("Content-Type", "image/png")
			_, _ = io.Copy(w, bytes.NewReader(picture.Bytes()))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // browsers look at a certificate and call again
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.URL
}
