package push_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/metrics/metricstest"
	"github.com/wxsidecar/wxsidecar/proxy/push"
)

const (
	component     = "wx7f00c0de00000001"
	merchant      = "wxa000000000000001"
	token         = "push-token-current"
	aesKey        = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	previousToken = "push-token-previous"
	previousKey   = "ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210zyxwvuE"
	ticket        = "ticket@@@s3cr3t-ticket-value"
	authCode      = "queryauthcode@@@s3cr3t-code-value"
)

// start is what the handler's clock shows at the beginning of a test.
var start = time.Unix(1_800_000_000, 0)

// handler is the far side of the server: it records pushes, and does what the
// test says.
type handler struct {
	mu      sync.Mutex
	now     time.Time
	pushes  []wechat.Push
	refused []string // component and cause
	handle  func(context.Context, wechat.Push) error
}

func (h *handler) PushRefused(component, cause string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = append(h.refused, component+" "+cause)
}

func (h *handler) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *handler) HandlePush(ctx context.Context, p wechat.Push) error {
	h.mu.Lock()
	h.pushes = append(h.pushes, p)
	handle := h.handle
	h.mu.Unlock()
	if handle == nil {
		return nil
	}
	return handle(ctx, p)
}

func (h *handler) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *handler) got() []wechat.Push {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]wechat.Push(nil), h.pushes...)
}

// logText collects the log.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rig is a server on a loopback port.
type rig struct {
	t       *testing.T
	address string
	server  *push.Server
	handler *handler
	metrics *metrics.Metrics
	log     *logText
}

func newRig(t *testing.T, change ...func(*push.Options)) *rig {
	t.Helper()
	r := &rig{t: t, handler: &handler{now: start}, metrics: metrics.New("test"), log: &logText{}}
	o := push.Options{
		Components: []push.Component{currentKeys()},
		Handler:    r.handler,
		Metrics:    r.metrics,
		Log:        slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&o)
	}
	server, err := push.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.server, r.address = server, l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { r.stop(done) })
	return r
}

// stop also searches the log for what must never be in it.
func (r *rig) stop(done <-chan error) {
	http.DefaultClient.CloseIdleConnections()
	if err := r.server.Shutdown(context.Background()); err != nil {
		r.t.Error(err)
	}
	if err := <-done; err != nil {
		r.t.Errorf("Serve: %v", err)
	}
	metricstest.WantNoneBorn(r.t, r.metrics)
	for _, s := range []string{ticket, "s3cr3t", token, previousToken, aesKey, previousKey, "Encrypt>"} {
		if strings.Contains(r.log.String(), s) {
			r.t.Errorf("the log shows %q:\n%s", s, r.log)
		}
	}
}

func currentKeys() push.Component {
	return push.Component{AppID: component, Keys: []push.Key{{Token: secret.New(token), EncodingAESKey: secret.New(aesKey)}}}
}

// call is one request to the server; its zero fields are those of a good push.
type call struct {
	method, path, body string
	query              url.Values
}

func (r *rig) do(c call) (status int, header http.Header, body string) {
	r.t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	if c.path == "" {
		c.path = "/wechat/" + component + "/event"
	}
	req, err := http.NewRequest(c.method, "http://"+r.address+c.path+"?"+c.query.Encode(), strings.NewReader(c.body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// wantSuccess sends a push and wants exactly what WeChat takes for a receipt.
func (r *rig) wantSuccess(c call) {
	r.t.Helper()
	status, header, body := r.do(c)
	if status != http.StatusOK || body != "success" || header.Get("Content-Type") != "text/plain" {
		r.t.Errorf("answer %d %q of type %q; want 200 success as text/plain\n%s", status, body, header.Get("Content-Type"), r.log)
	}
}

// wantStatus sends a push and wants a status and nothing else.
func (r *rig) wantStatus(c call, want int) {
	r.t.Helper()
	status, header, body := r.do(c)
	if status != want || body != "" {
		r.t.Errorf("answer %d %q; want %d and no body\n%s", status, body, want, r.log)
	}
	for _, name := range []string{"Server", "Date", "Content-Type"} {
		if header.Get(name) != "" {
			r.t.Errorf("the answer has %s: %s", name, header.Get(name))
		}
	}
}

// wantCounted wants a value of wxsidecar_pushes_total.
func (r *rig) wantCounted(infoType, result string, want int) {
	r.t.Helper()
	r.wantSeries("wxsidecar_pushes_total{info_type=%q,result=%q} %d\n", infoType, result, want)
}

// wantSeries wants a line in the metrics.
func (r *rig) wantSeries(format string, values ...any) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	line := fmt.Sprintf(format, values...)
	if !strings.Contains(w.Body.String(), line) {
		r.t.Errorf("the metrics have not %s", line)
	}
}

// wantLogged wants one log line that has all the words.
func (r *rig) wantLogged(words ...string) {
	r.t.Helper()
	found := 0
	for line := range strings.Lines(r.log.String()) {
		if containsAll(line, words) {
			found++
		}
	}
	if found != 1 {
		r.t.Errorf("%d log lines have %q; want one:\n%s", found, words, r.log)
	}
}

func containsAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

func ticketXML(appID string) string {
	return "<xml><AppId><![CDATA[" + appID + "]]></AppId><CreateTime>" + strconv.FormatInt(start.Unix(), 10) +
		"</CreateTime><InfoType><![CDATA[component_verify_ticket]]></InfoType><ComponentVerifyTicket><![CDATA[" +
		ticket + "]]></ComponentVerifyTicket></xml>"
}

// sealed returns the call that carries plain, as WeChat would make it at that time.
func sealed(t *testing.T, token, key, appID, plain string, at time.Time) call {
	t.Helper()
	codec, err := msgcrypt.New(token, key, appID)
	if err != nil {
		t.Fatal(err)
	}
	e, err := codec.Seal([]byte(plain), strconv.FormatInt(at.Unix(), 10), "1590219412")
	if err != nil {
		t.Fatal(err)
	}
	return call{query: signedQuery(token, e), body: string(e.PushXML(component))}
}

func signedQuery(token string, e msgcrypt.Envelope) url.Values {
	return url.Values{
		"signature":     {msgcrypt.Signature(token, e.TimeStamp, e.Nonce, "")},
		"timestamp":     {e.TimeStamp},
		"nonce":         {e.Nonce},
		"encrypt_type":  {"aes"},
		"msg_signature": {e.MsgSignature},
	}
}

// ticketPush is a good push of a ticket.
func ticketPush(t *testing.T) call {
	t.Helper()
	return sealed(t, token, aesKey, component, ticketXML(component), start)
}
