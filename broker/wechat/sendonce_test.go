package wechat_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// dyingWeChat answers the first call of each connection, reads the second and ends. It
// counts the calls that it read.
func dyingWeChat(t *testing.T) (url string, calls *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	calls = &atomic.Int64{}
	const answer = `{"access_token":"a","ticket":"a","expires_in":7200}`
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				br := bufio.NewReader(conn)
				for n := 0; n < 2; n++ {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					calls.Add(1)
					if n == 0 {
						_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n"+answer)
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), calls
}

// Each method makes one HTTP attempt, over a kept connection that ends too.
func TestClient_SendsOnce(t *testing.T) {
	f := func(name string, call func(c *wechat.Client) error) {
		t.Helper()
		url, calls := dyingWeChat(t)
		c, err := wechat.New(wechat.Options{URLs: []string{url}})
		if err != nil {
			t.Fatal(err)
		}
		const made = 6
		for range made {
			if err = call(c); err != nil {
				var silent *wechat.NoAnswerError
				if !errors.As(err, &silent) || !silent.Sent || silent.Timeout() {
					t.Errorf("%s: %v does not say that the call was sent", name, err)
				}
			}
		}
		if n := calls.Load(); n != made {
			t.Errorf("%s: WeChat read %d calls, want %d", name, n, made)
		}
	}
	f("POST", func(c *wechat.Client) error {
		_, err := c.StableToken(t.Context(), account, accountSecret, false)
		return err
	})
	f("GET", func(c *wechat.Client) error {
		_, err := c.Ticket(t.Context(), secret.New("a-token"), "jsapi")
		return err
	})
	f("probe", func(c *wechat.Client) error { return c.Probe(t.Context()) })
}

// An error says whether WeChat may have the call.
func TestClient_NoAnswerSaysWhetherItWasSent(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	secure := httptest.NewUnstartedServer(nil)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.TLS = &tls.Config{}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	f := func(name, url string, timeout time.Duration, sent, late bool) {
		t.Helper()
		c, err := wechat.New(wechat.Options{URLs: []string{url}, Timeout: timeout, RootCAs: x509.NewCertPool()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.StableToken(t.Context(), account, accountSecret, false)
		var silent *wechat.NoAnswerError
		if !errors.As(err, &silent) || silent.Sent != sent || silent.Timeout() != late {
			t.Errorf("%s: %v (%+v), want sent %v, late %v", name, err, silent, sent, late)
		}
	}
	f("nobody listens", "http://127.0.0.1:1", 0, false, false)
	f("no certificate that is trusted", secure.URL, 0, false, false)
	f("no answer", hangs.URL, 300*time.Millisecond, true, true)
}
