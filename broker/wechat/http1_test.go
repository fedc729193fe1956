package wechat_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// What is shipped is built without HTTP/2 in net/http, and a plain go build is not. Both speak to
// WeChat in the same way.
func TestClient_HTTP1Only(t *testing.T) {
	protocol := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { protocol <- r.Proto }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	c, err := wechat.New(wechat.Options{URLs: []string{s.URL}, RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-protocol; got != "HTTP/1.1" {
		t.Errorf("the call came by %s; want HTTP/1.1", got)
	}
}
