package push_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/push"
)

const pagePath = "/wechat/" + component + "/authorize"

// withPages has the rig serve pages by f.
func withPages(f http.HandlerFunc) func(*push.Options) {
	return func(o *push.Options) { o.Pages = f }
}

func TestPages_HeadAndAnswer(t *testing.T) {
	r := newRig(t, withPages(func(w http.ResponseWriter, req *http.Request) {
		if _, err := io.ReadAll(req.Body); err != nil {
			t.Errorf("the body: %v", err)
		}
		w.Header().Set("X-Odd", "a\r\nSet-Cookie: planted=1")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, req.Method+" "+req.URL.RequestURI()+" "+req.Host+" "+req.Header.Get("Accept-Language"))
		if host, _, ok := strings.Cut(req.RemoteAddr, ":"); !ok || host != "127.0.0.1" {
			t.Errorf("RemoteAddr is %q", req.RemoteAddr)
		}
	}))
	req, _ := http.NewRequest(http.MethodGet, "http://"+r.address+pagePath+"?a=%2F", nil)
	req.Header.Set("Accept-Language", "zh-CN")
	req.Host = "b.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := "GET " + pagePath + "?a=%2F b.example zh-CN"; err != nil || resp.StatusCode != http.StatusTeapot || string(body) != want {
		t.Errorf("%d %q, %v; want %q", resp.StatusCode, body, err, want)
	}
	if !resp.Close || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("the connection closes: %t; planted header: %q", resp.Close, resp.Header.Get("Set-Cookie"))
	}
	status, header, text := r.do(call{method: http.MethodHead, path: pagePath})
	if status != http.StatusTeapot || text != "" || header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d %q, length %s", status, text, header.Get("Content-Length"))
	}
}

func TestPages_OnlyThose(t *testing.T) {
	refuse := func(r *rig) {
		t.Helper()
		r.wantStatus(call{method: http.MethodPost, path: pagePath}, http.StatusForbidden)
		r.wantStatus(call{method: http.MethodGet, path: "/wechat/wxother/authorize"}, http.StatusForbidden)
		r.wantStatus(call{method: http.MethodGet, path: "/wechat/" + component + "/event"}, http.StatusForbidden)
		r.wantStatus(call{method: http.MethodGet, path: pagePath + "/"}, http.StatusForbidden)
		r.wantStatus(call{method: http.MethodGet, path: pagePath + "/" + merchant}, http.StatusForbidden)
		r.wantStatus(call{method: http.MethodGet, path: "/wechat/" + account + "/authorize"}, http.StatusForbidden)
		r.wantStatus(call{method: http.MethodGet, path: "/"}, http.StatusForbidden)
	}
	withAccount, _ := newMessageRig(t, withPages(func(_ http.ResponseWriter, req *http.Request) { t.Errorf("asked for %s", req.URL) }))
	refuse(withAccount)
	none := newRig(t)
	refuse(none)
	none.wantStatus(call{method: http.MethodGet, path: pagePath}, http.StatusForbidden)
}

// Visitors who fill all places keep no push out, and are let in again when they leave.
func TestPages_ManyVisitors(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	r := newRig(t, withPages(func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-finish
		io.WriteString(w, "page")
	}))
	done := make(chan int)
	for range 64 {
		go func() {
			status, _, _ := r.do(call{method: http.MethodGet, path: pagePath})
			done <- status
		}()
		<-begun
	}
	status, _, body := r.do(call{method: http.MethodGet, path: pagePath})
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "Too many visitors") {
		t.Errorf("one more visitor: %d %q", status, body)
	}
	r.wantSuccess(ticketPush(t))
	close(finish)
	for range 64 {
		if status := <-done; status != http.StatusOK {
			t.Errorf("a visitor got %d", status)
		}
	}
	go func() { <-begun }()
	status = http.StatusServiceUnavailable
	for try := 0; status != http.StatusOK && try < 1000; try++ { // a place is free soon after its page was read
		status, _, _ = r.do(call{method: http.MethodGet, path: pagePath})
	}
	if status != http.StatusOK {
		t.Errorf("a visitor afterwards got %d", status)
	}
}

func TestPages_Panic(t *testing.T) {
	r := newRig(t, withPages(func(http.ResponseWriter, *http.Request) { panic("s3cr3t") }))
	if status, _, body := r.do(call{method: http.MethodGet, path: pagePath}); status != http.StatusInternalServerError || body != "" {
		t.Errorf("%d %q", status, body)
	}
	r.wantSuccess(ticketPush(t))
	r.wantLogged("panic while a request was handled")
}
