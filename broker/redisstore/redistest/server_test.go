package redistest

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// says reports the answer to a command, "" for none.
func says(t *testing.T, s *Server, want any, args ...string) {
	t.Helper()
	if got := s.MustDo(args...); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", args, got, want)
	}
}

func refuses(t *testing.T, s *Server, want string, args ...string) {
	t.Helper()
	if got, err := s.Do(args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, %v; want an error with %s", args, got, err, want)
	}
}

func TestServer_Answers(t *testing.T) {
	s := Start(t, Options{})
	says(t, s, "OK", "SET", "k", "line\r\nline\x00")
	says(t, s, "line\r\nline\x00", "GET", "k")
	says(t, s, nil, "GET", "none")
	says(t, s, "", "ECHO", "")
	says(t, s, int64(3), "RPUSH", "l", "a", "", "c")
	says(t, s, []any{"a", "", "c"}, "LRANGE", "l", "0", "-1")
	says(t, s, []any{}, "LRANGE", "none", "0", "-1")
	says(t, s, []any{int64(1), serverError("ERR bad"), []any{"x", nil}}, "EVAL", "return {1, redis.error_reply('ERR bad'), {'x', false}}", "0")
	refuses(t, s, "WRONGTYPE", "GET", "l")
	refuses(t, s, "unknown command", "NOSUCH")
	s.Flush()
	says(t, s, int64(0), "DBSIZE")
	if v := s.Info("redis_version"); !strings.Contains(v, ".") {
		t.Errorf("version %q", v)
	}
}

// Without an append-only file a kill loses what came after SAVE, with one nothing.
func TestServer_KillAndRestart(t *testing.T) {
	f := func(o Options, want any) {
		t.Helper()
		s := Start(t, o)
		addr := s.Addr()
		s.MustDo("SET", "k", "saved")
		s.MustDo("SAVE")
		s.MustDo("SET", "k", "later")
		s.Kill()
		if _, err := s.Do("PING"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("PING after a kill: %v", err)
		}
		s.Restart()
		says(t, s, want, "GET", "k")
		s.Restart()
		says(t, s, want, "GET", "k")
		if s.Addr() != addr {
			t.Errorf("the address was %s and is %s", addr, s.Addr())
		}
	}
	f(Options{}, "saved")
	f(Options{AOF: true}, "later")
}

// A stopped server takes connections and answers nothing until it goes on.
func TestServer_StopAndCont(t *testing.T) {
	s := Start(t, Options{})
	s.Stop()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 7)
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(answer); n != 0 || err == nil {
		t.Errorf("a stopped server says %q, %v", answer[:n], err)
	}
	s.Cont()
	c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(answer); string(answer[:n]) != "+PONG\r\n" {
		t.Errorf("a server that goes on says %q, %v", answer[:n], err)
	}
}

// as runs a command with the rights that a URL gives.
func as(t *testing.T, s *Server, rawURL string, args ...string) (any, error) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if s.certs != nil {
		c, err = tls.Dial("tcp", u.Host, s.certs.client)
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if u.User == nil {
		return roundTrip(c, args)
	}
	auth := []string{"AUTH"}
	if name := u.User.Username(); name != "" {
		auth = append(auth, name)
	}
	password, _ := u.User.Password()
	return roundTrip(c, append(auth, password), args)
}

func TestServer_Users(t *testing.T) {
	f := func(o Options, allowed bool) {
		t.Helper()
		s := Start(t, o)
		if _, err := as(t, s, s.URL(), "SET", "k", "v"); (err == nil) != allowed {
			t.Errorf("%+v: SET by the URL: %v", o, err)
		}
		nobody := strings.Replace(s.URL(), "pass", "", 1)
		if _, err := as(t, s, nobody, "GET", "k"); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
			t.Errorf("%+v: GET with a wrong password: %v", o, err)
		}
		if _, err := as(t, s, "redis://"+s.Addr(), "GET", "k"); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
			t.Errorf("%+v: GET without a password: %v", o, err)
		}
		s.MustDo("SET", "k", "v")
	}
	f(Options{Password: "pass@/1"}, true)
	f(Options{User: "me", Password: "pass@/1"}, true)
	f(Options{User: "me", Password: "pass@/1", ACL: []string{"~*", "+get"}}, false)
}

func TestServer_TLS(t *testing.T) {
	s := Start(t, Options{TLS: true, Password: "p"})
	if !strings.HasPrefix(s.URL(), "rediss://:p@127.0.0.1:") || !strings.Contains(s.URL(), "ca_file=") || strings.Contains(s.URL(), "cert_file") {
		t.Errorf("URL %s", s.URL())
	}
	if _, err := as(t, s, s.URL(), "PING"); err != nil {
		t.Error(err)
	}
	plain, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if answer, err := roundTrip(plain, []string{"PING"}); err == nil {
		t.Errorf("without TLS it says %v", answer)
	}
	asks := Start(t, Options{TLS: true, ClientCert: true})
	if !strings.Contains(asks.URL(), "cert_file=") || !strings.Contains(asks.URL(), "key_file=") {
		t.Errorf("URL %s", asks.URL())
	}
	if _, err := as(t, asks, asks.URL(), "PING"); err != nil {
		t.Error(err)
	}
	without := &tls.Config{RootCAs: asks.certs.client.RootCAs}
	c, err := tls.Dial("tcp", asks.Addr(), without)
	if err == nil {
		defer c.Close()
		if answer, err := roundTrip(c, []string{"PING"}); err == nil {
			t.Errorf("without a certificate it says %v", answer)
		}
	}
}
