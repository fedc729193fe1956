package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/metrics"
	"github.com/wxsidecar/wxsidecar/metrics/metricstest"
)

// The accounts that tests know.
const (
	component = "wx00000000000000c0"
	merchant  = "wx00000000000000a1"
	merchant2 = "wx00000000000000a2"
	own       = "wx00000000000000b1"
)

// source stands in for the broker: tokens whose values name kind, appid and
// generation, and a count of what it was asked.
type source struct {
	mu       sync.Mutex
	accounts map[string][]broker.Account // a merchant is there once for each of its components
	// withdrawn are the authorizations that merchants have taken back.
	withdrawn map[broker.Key]bool
	tokens    map[broker.Key]*broker.Token
	errs      map[broker.Key]error
	onlyErr   error // what OnlyAccount answers instead
	// absent is what Account answers for an account that it does not know; nil for
	// ErrUnknownAccount.
	absent error
	// sticky accounts get the same value again from the first report, as
	// stable_token does.
	sticky  map[string]int
	reports int
	renewed int
	// displaced is how many times more a token is displaced before it is used.
	displaced int
	// probes counts how often WeChat was to be probed.
	probes atomic.Int32
	// refusals is what Report was told.
	refusals []broker.Refusal
}

func newSource(accounts ...broker.Account) *source {
	s := &source{
		accounts: map[string][]broker.Account{}, withdrawn: map[broker.Key]bool{}, tokens: map[broker.Key]*broker.Token{},
		errs: map[broker.Key]error{}, sticky: map[string]int{},
	}
	s.add(accounts...)
	return s
}

func (s *source) add(accounts ...broker.Account) {
	for _, a := range accounts {
		s.accounts[a.AppID] = append(s.accounts[a.AppID], a)
		s.set(a.Key(), 1)
	}
}

func platform() *source {
	return newSource(
		broker.Account{AppID: component, Kind: broker.KindComponent, Component: component},
		broker.Account{AppID: merchant, Kind: broker.KindAuthorizer, Component: component},
		broker.Account{AppID: merchant2, Kind: broker.KindAuthorizer, Component: component},
		broker.Account{AppID: own, Kind: broker.KindAccount},
	)
}

// tokenText names the component of a key only where that is not the usual one.
func tokenText(key broker.Key, generation uint64) string {
	name := key.AppID
	if key.Component != "" && key.Component != component {
		name += "." + key.Component
	}
	return fmt.Sprintf("tok-%s-%s-%d", key.Kind, name, generation)
}

func (s *source) set(key broker.Key, generation uint64) {
	now := time.Unix(1_700_000_000, 0)
	s.tokens[key] = broker.NewToken(key, secret.New(tokenText(key, generation)), generation, now, now.Add(2*time.Hour))
}

func (s *source) ProbeWeChat() { s.probes.Add(1) }

func (s *source) Now() time.Time { return time.Unix(1_700_000_000, 0) }

func (s *source) Token(_ context.Context, key broker.Key) (*broker.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.errs[key]; err != nil {
		return nil, err
	}
	if tok := s.tokens[key]; tok != nil {
		return tok, nil
	}
	return nil, fmt.Errorf("%w: %s", broker.ErrUnknownAccount, key.AppID)
}

func (s *source) TokenAfter(ctx context.Context, key broker.Key, _ uint64) (*broker.Token, error) {
	return s.Token(ctx, key)
}

func (s *source) Report(key broker.Key, generation uint64, r broker.Refusal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports++
	s.refusals = append(s.refusals, r)
	if s.tokens[key].Generation != generation {
		return true
	}
	if s.sticky[key.AppID] > 0 {
		s.sticky[key.AppID]--
		return true
	}
	if s.displaced > 0 {
		s.displaced--
	} else if s.renewed > 0 && !r.First.IsZero() {
		return false // refused again with what the first refusal brought
	}
	s.renewed++
	s.set(key, generation+1)
	return true
}

// Known knows nobody: what the broker's memory does is tried with the broker.
func (s *source) Known([]byte, broker.Choice) *broker.Known { return nil }

// Account chooses as the broker does.
func (s *source) Account(_ context.Context, appid string, c broker.Choice) (broker.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := s.accounts[appid]; len(all) == 1 && (c.Component == "" || c.Component == all[0].Component || all[0].Kind != broker.KindAuthorizer) {
		return all[0], nil
	}
	found := slices.DeleteFunc(slices.Clone(s.accounts[appid]), func(a broker.Account) bool {
		return a.Kind == broker.KindAuthorizer && c.Component != "" && a.Component != c.Component
	})
	if len(found) == 0 && s.absent != nil {
		return broker.Account{}, s.absent
	}
	if len(found) == 0 {
		return broker.Account{}, fmt.Errorf("%w: %s", broker.ErrUnknownAccount, appid)
	}
	narrow := func(drop func(broker.Account) bool) {
		if rest := slices.DeleteFunc(slices.Clone(found), drop); len(rest) > 0 {
			found = rest
		}
	}
	narrow(func(a broker.Account) bool { return !slices.Contains(c.Among, a.Component) })
	narrow(func(a broker.Account) bool { return s.withdrawn[a.Key()] })
	narrow(func(a broker.Account) bool { return a.Component != c.Default })
	if len(found) == 1 {
		return found[0], nil
	}
	several := &broker.AmbiguousError{AppID: appid}
	for _, a := range found {
		several.Components = append(several.Components, a.Component)
	}
	return broker.Account{}, several
}

func (s *source) only(want func(broker.Kind) bool) (found string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for appid, of := range s.accounts {
		if want(of[0].Kind) {
			found = appid
			n++
		}
	}
	return found, n == 1
}

func (s *source) OnlyAccount(ctx context.Context, c broker.Choice) (broker.Account, error) {
	if s.onlyErr != nil {
		return broker.Account{}, s.onlyErr
	}
	if appid, ok := s.only(func(k broker.Kind) bool { return k != broker.KindComponent }); ok {
		return s.Account(ctx, appid, c)
	}
	return broker.Account{}, fmt.Errorf("%w: none or several", broker.ErrUnknownAccount)
}

func (s *source) Components() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for appid, of := range s.accounts {
		if of[0].Kind == broker.KindComponent {
			all = append(all, appid)
		}
	}
	return all
}

// sidecar is a server that listens, with a client that calls it.
type sidecar struct {
	*Server
	url    string
	addr   string
	client *http.Client
	logged *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serveConn serves one connection until it ends.
func (s *Server) serveConn(nc net.Conn) error {
	return s.http.ServeConn(newAppConn(nc, s.now, false))
}

// start serves o on a loopback port until the test ends.
func start(tb testing.TB, o Options) *sidecar {
	tb.Helper()
	logged := &lockedBuffer{}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if o.Metrics == nil {
		o.Metrics = metrics.New("test")
	}
	s, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	tb.Cleanup(func() {
		transport.CloseIdleConnections()
		// Shutdown looks every 100 ms whether connections are left.
		for tries := 0; s.http.GetOpenConnectionsCount() > 0 && tries < 10_000; tries++ {
			runtime.Gosched()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			tb.Errorf("Serve: %v", err)
		}
		wantNothingHeld(tb, s)
		metricstest.WantNoneBorn(tb, o.Metrics)
		if text := logged.String(); strings.Contains(text, "tok-") {
			tb.Errorf("a token is in the log: %s", text)
		}
	})
	addr := ln.Addr().String()
	noFollow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &sidecar{s, "http://" + addr, addr, &http.Client{Transport: transport, CheckRedirect: noFollow}, logged}
}

// wantNothingHeld wants everything back that the limits count, now that no call is
// under way: what leaks there is missing until the process ends.
func wantNothingHeld(tb testing.TB, s *Server) {
	tb.Helper()
	n, bytes, long := s.inflight.all.Load(), s.memory.used.Load(), s.memory.long.Load()
	if n != 0 || bytes != 0 || long != 0 {
		tb.Errorf("%d calls and %d bytes of bodies are still counted, %d of them of long ones", n, bytes, long)
	}
	for _, slot := range s.inflight.slots {
		for ; slot != nil; slot = slot.next {
			if n := slot.n.Load(); n != 0 {
				tb.Errorf("%d calls of %s are still counted", n, slot.appid)
			}
		}
	}
}

// answer is what came back to the app.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a answer) fault() string { return a.header.Get("X-Wxsidecar-Error") }

// call makes one call; headers are "Name: value".
func (s *sidecar) call(tb testing.TB, method, path, body string, headers ...string) answer {
	tb.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, s.url+path, r)
	if err != nil {
		tb.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return s.do(req)
}

func (s *sidecar) do(req *http.Request) answer {
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b), err}
}

// open makes a call whose answer the test reads itself, and closes it at the end.
func (s *sidecar) open(ctx context.Context, tb testing.TB) *http.Response {
	tb.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/x", nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("X-Wechat-Appid", merchant)
	resp, err := s.client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { resp.Body.Close() })
	return resp
}

// port is the port that the apps listener is on.
func (s *sidecar) port() string { return s.addr[strings.LastIndexByte(s.addr, ':')+1:] }

func forMerchant() string { return "X-Wechat-Appid: " + merchant }

// weixin is an upstream that answers with handler and counts calls.
type weixin struct {
	*httptest.Server
	calls atomic.Int64
}

func newWeChat(tb testing.TB, handler http.HandlerFunc) *weixin {
	w := &weixin{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.calls.Add(1)
		handler(rw, r)
	}))
	tb.Cleanup(w.Close)
	return w
}

// rawUpstream answers each connection with serve, called with the number of the
// connection from 1, and closes it then.
type rawUpstream struct {
	url   string
	conns atomic.Int64
}

func newRaw(tb testing.TB, serve func(n int, c net.Conn, br *bufio.Reader)) *rawUpstream {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	u := &rawUpstream{url: "http://" + ln.Addr().String()}
	var wg sync.WaitGroup
	tb.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			n := int(u.conns.Add(1))
			wg.Go(func() {
				defer c.Close()
				serve(n, c, bufio.NewReader(c))
			})
		}
	})
	return u
}

// readRequest reads one request with fixed or chunked body and returns its bytes.
func readRequest(br *bufio.Reader) (head string, body []byte, err error) {
	var b strings.Builder
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return b.String(), nil, err
		}
		b.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(b.String()), br)))
	if err != nil {
		return b.String(), nil, err
	}
	body, err = io.ReadAll(req.Body)
	return b.String(), body, err
}

func reply(c net.Conn, body string) {
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// rawCall sends bytes to the sidecar and returns all that comes until it closes.
func rawCall(tb testing.TB, addr, request string) string {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		tb.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite() // the sidecar may have closed it already
	b, _ := io.ReadAll(c)
	return string(b)
}

func callerOf(name string, keys ...string) Caller {
	return Caller{Name: name, KeySHA256: keysOf(keys...)}
}

func keysOf(keys ...string) (hashes [][sha256.Size]byte) {
	for _, key := range keys {
		hashes = append(hashes, sha256.Sum256([]byte(key)))
	}
	return hashes
}
