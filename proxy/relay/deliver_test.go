package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

// received is what a target got.
type received struct {
	path   string
	header http.Header
	body   string
}

// newTarget returns an app that answers with handler, and what it got.
func newTarget(t *testing.T, o relay.TargetOptions, handler http.HandlerFunc) (*relay.Target, <-chan received) {
	t.Helper()
	got := make(chan received, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the delivery: %v", err)
		}
		got <- received{r.Host + r.RequestURI, r.Header, string(body)}
		handler(w, r)
	}))
	t.Cleanup(srv.Close)
	o.URL = srv.URL + o.URL
	return mustTarget(t, o), got
}

func mustTarget(t *testing.T, o relay.TargetOptions) *relay.Target {
	t.Helper()
	target, err := relay.NewTarget(o)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func reply(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

var message = &relay.Delivery{
	ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", AppID: "wxa000000000000001", Component: "wx7f00c0de00000001",
	MsgType: "event", Event: "CLICK", RequestID: "r1", Body: []byte("<xml><Event><![CDATA[CLICK]]></Event></xml>"),
}

func newClient(t *testing.T, o relay.Options) *relay.Client {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return time.Unix(1614265330, 0) }
	}
	c := relay.New(o)
	t.Cleanup(c.Close)
	return c
}

func TestDeliver(t *testing.T) {
	target, got := newTarget(t, relay.TargetOptions{URL: "/wx?key=1"}, reply("<xml>hello</xml>"))
	answer, err := newClient(t, relay.Options{UserAgent: "wxsidecar/1"}).Deliver(t.Context(), target, message)
	if err != nil || string(answer) != "<xml>hello</xml>" {
		t.Fatalf("Deliver = %q, %v", answer, err)
	}
	r := <-got
	if r.path != strings.TrimPrefix(target.URL(), "http://") || r.body != string(message.Body) {
		t.Errorf("the target got %s %s", r.path, r.body)
	}
	want := http.Header{
		"Content-Length": {"43"}, "Content-Type": {"text/xml; charset=utf-8"}, "User-Agent": {"wxsidecar/1"},
		"Webhook-Id": {message.ID}, "Webhook-Timestamp": {"1614265330"},
		"X-Wechat-Appid": {message.AppID}, "X-Wechat-Component": {message.Component},
		"X-Wechat-Msg-Type": {"event"}, "X-Wechat-Event": {"CLICK"}, "X-Request-Id": {"r1"},
	}
	if d := cmp.Diff(want, r.header); d != "" {
		t.Errorf("headers (-want +got):\n%s", d)
	}
}

// The vector is that of the Standard Webhooks' own libraries.
func TestDeliver_Signs(t *testing.T) {
	f := func(key, want string) {
		t.Helper()
		target, got := newTarget(t, relay.TargetOptions{Format: relay.JSON, Secret: secret.New(key)}, reply(""))
		d := *message
		d.Body = []byte(`{"test": 2432232314}`)
		if _, err := newClient(t, relay.Options{}).Deliver(t.Context(), target, &d); err != nil {
			t.Fatal(err)
		}
		if r := <-got; r.header.Get("webhook-signature") != want {
			t.Errorf("webhook-signature: %s, want %s", r.header.Get("webhook-signature"), want)
		}
	}
	f("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	// printf '%s' 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}' | openssl dgst -sha256 -hmac plain -binary | base64
	f("plain", "v1,tgOMx2V+ymftc5zrV4Kwy5UOWZAx1XMh0yu4Sm/6/r0=")
}

func TestDeliver_JSON(t *testing.T) {
	f := func(format, body, wantType, want string) {
		t.Helper()
		target, got := newTarget(t, relay.TargetOptions{Format: format}, reply(""))
		d := *message
		d.Body = []byte(body)
		if _, err := newClient(t, relay.Options{}).Deliver(t.Context(), target, &d); err != nil {
			t.Fatal(err)
		}
		if r := <-got; r.body != want || r.header.Get("Content-Type") != wantType {
			t.Errorf("%s: the target got %s as %s", body, r.body, r.header.Get("Content-Type"))
		}
	}
	const xmlType, jsonType = "text/xml; charset=utf-8", "application/json; charset=utf-8"
	f("json", "<xml><Event>CLICK</Event></xml>", jsonType, `{"Event":"CLICK"}`)
	f("json", `{"Event": "CLICK"}`, jsonType, `{"Event": "CLICK"}`)
	f("xml", `<xml><Event>CLICK</Event></xml>`, xmlType, `<xml><Event>CLICK</Event></xml>`)
	f("", `{"Event": "CLICK"}`, jsonType, `{"Event": "CLICK"}`)
}

// What a writer of messages chooses costs at most its own header.
func TestDeliver_LeavesOutOddHeaders(t *testing.T) {
	target, got := newTarget(t, relay.TargetOptions{}, reply(""))
	d := *message
	d.Event, d.MsgType = "a\r\nX-Injected: 1", "事件"
	if _, err := newClient(t, relay.Options{}).Deliver(t.Context(), target, &d); err != nil {
		t.Fatal(err)
	}
	h := (<-got).header
	if h["X-Wechat-Event"] != nil || h["X-Wechat-Msg-Type"] != nil || h["X-Injected"] != nil || h.Get("X-Wechat-Appid") == "" {
		t.Errorf("headers: %v", h)
	}
}

func TestDeliver_Unix(t *testing.T) {
	f := func(suffix, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "a.sock")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Host + r.RequestURI })}
		go func() { _ = srv.Serve(l) }()
		defer srv.Close()
		target := mustTarget(t, relay.TargetOptions{URL: "unix://" + path + suffix})
		if _, err := newClient(t, relay.Options{}).Deliver(t.Context(), target, message); err != nil {
			t.Fatal(err)
		}
		if r := <-got; r != want {
			t.Errorf("the target got %s, want %s", r, want)
		}
	}
	f("", "localhost/")
	f(":/wx?a=b", "localhost/wx?a=b")
}

func TestDeliver_Fails(t *testing.T) {
	f := func(handler http.HandlerFunc, check func(error) bool) {
		t.Helper()
		target, _ := newTarget(t, relay.TargetOptions{URL: "/?s3cr3t"}, handler)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		answer, err := newClient(t, relay.Options{}).Deliver(ctx, target, message)
		if answer != nil || err == nil || !check(err) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("Deliver = %d bytes, %v", len(answer), err)
		}
	}
	status := func(want int) func(error) bool {
		return func(err error) bool {
			var s *relay.StatusError
			return errors.As(err, &s) && s.Status == want
		}
	}
	f(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, status(500))
	f(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, status(404))
	f(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
	}, status(307))
	f(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 10<<20)) },
		func(err error) bool { return errors.Is(err, relay.ErrReplyTooLong) })
	f(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) })
	f(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, func(err error) bool { return errors.Is(err, io.EOF) })
}

// net/http quotes what it cannot read. A reply, or what an app's language prints before it, is not
// for the log.
func TestDeliver_NotHTTP(t *testing.T) {
	f := func(answer string) {
		t.Helper()
		target, _ := newTarget(t, relay.TargetOptions{}, func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		})
		_, err := newClient(t, relay.Options{}).Deliver(t.Context(), target, message)
		if err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "not HTTP/1.1") {
			t.Errorf("%q: %v", answer, err)
		}
	}
	f("<xml><Content>s3cr3t</Content></xml>\r\n\r\n")
	f("HTTP/1.1 s3cr3t\r\n\r\n")
	f("HTTP/1.1 200 OK\r\ns3cr3t\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: s3cr3t\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\ns3cr3t\r\n\r\n")
}

func TestDeliver_ReplyLimit(t *testing.T) {
	f := func(n int, ok bool) {
		t.Helper()
		target, _ := newTarget(t, relay.TargetOptions{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, n)) })
		answer, err := newClient(t, relay.Options{}).Deliver(t.Context(), target, message)
		if (err == nil) != ok || ok && len(answer) != n {
			t.Errorf("%d bytes: %d, %v", n, len(answer), err)
		}
	}
	f(0, true)
	f(relay.MaxReply-1, true)
	f(relay.MaxReply, true)
	f(relay.MaxReply+1, false)
}

// A target that never answers costs what the caller grants.
func TestDeliver_EndsWithContext(t *testing.T) {
	hang := make(chan struct{})
	target, got := newTarget(t, relay.TargetOptions{}, func(http.ResponseWriter, *http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-got; cancel() }()
	if _, err := newClient(t, relay.Options{}).Deliver(ctx, target, message); !errors.Is(err, context.Canceled) {
		t.Errorf("Deliver: %v", err)
	}
}

func TestDeliver_RefusesAddresses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own := &dial.OwnAddresses{}
	own.Add(l.Addr())
	for _, url := range []string{
		"http://169.254.169.254/latest/meta-data/", "http://[fe80::1%25lo]/", "http://100.100.100.200/", "http://[::ffff:a9fe:a9fe]/",
		"http://" + l.Addr().String() + "/",
	} {
		target := mustTarget(t, relay.TargetOptions{URL: url})
		if _, err := newClient(t, relay.Options{Own: own}).Deliver(t.Context(), target, message); !errors.Is(err, relay.ErrAddress) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestDeliver_HTTPS(t *testing.T) {
	srv := httptest.NewTLSServer(reply("ok"))
	defer srv.Close()
	target := mustTarget(t, relay.TargetOptions{URL: srv.URL})
	if _, err := newClient(t, relay.Options{}).Deliver(t.Context(), target, message); err == nil {
		t.Error("a certificate that nobody trusts was taken")
	}
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if answer, err := newClient(t, relay.Options{RootCAs: roots}).Deliver(t.Context(), target, message); err != nil || string(answer) != "ok" {
		t.Errorf("Deliver = %q, %v", answer, err)
	}
}

// What is shipped is built without HTTP/2 in net/http, and a plain go build is not. Both deliver in
// the same way.
func TestDeliver_HTTP1Only(t *testing.T) {
	protocol := make(chan string, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { protocol <- r.Proto }))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if _, err := newClient(t, relay.Options{RootCAs: roots}).Deliver(t.Context(), mustTarget(t, relay.TargetOptions{URL: srv.URL}), message); err != nil {
		t.Fatal(err)
	}
	if got := <-protocol; got != "HTTP/1.1" {
		t.Errorf("the delivery came by %s; want HTTP/1.1", got)
	}
}
