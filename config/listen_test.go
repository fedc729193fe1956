package config

import "testing"

func TestParseAddress(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		a, err := ParseAddress(text)
		if got := a.String(); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	f("off", "off")
	f("127.0.0.1:7080", "127.0.0.1:7080")
	f(":07080", ":7080")
	f("[::1]:0", "[::1]:0")
	f("pod-1.svc:80", "pod-1.svc:80")
	f("unix:///run//wx/../a.sock", "unix:///run/a.sock")
	bad := func(text string) {
		t.Helper()
		if a, err := ParseAddress(text); err == nil {
			t.Errorf("%q is taken for %q", text, a)
		}
	}
	for _, text := range []string{"", "7080", "h", "h:", "h:http", "h:65536", "h:-1", "a b:1", "unix://a", "unix:/a", "http://h:1", "OFF", "::1:80"} {
		bad(text)
	}
}

func TestAddress_Local(t *testing.T) {
	f := func(text string, want bool) {
		t.Helper()
		a, err := ParseAddress(text)
		if got := a.local(); err != nil || got != want {
			t.Errorf("%s is local: %v, %v", text, got, err)
		}
	}
	f("127.0.0.1:1", true)
	f("127.9.9.9:1", true)
	f("[::1]:1", true)
	f("[::ffff:127.0.0.1]:1", true)
	f("localhost:1", true)
	f("unix:///a", true)
	f("off", true)
	f(":1", false)
	f("0.0.0.0:1", false)
	f("[::]:1", false)
	f("10.0.0.1:1", false)
	f("localhost.example:1", false)
}

func TestAddress_Collides(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		x, errX := ParseAddress(a)
		y, errY := ParseAddress(b)
		if got := x.collides(y) && y.collides(x); errX != nil || errY != nil || got != want {
			t.Errorf("%s and %s collide: %v, %v, %v", a, b, got, errX, errY)
		}
	}
	f("127.0.0.1:1", "127.0.0.1:1", true)
	f("127.0.0.1:1", "0.0.0.0:1", true)
	f("127.0.0.1:1", ":1", true)
	f("[::]:1", "10.0.0.1:1", true)
	f("127.0.0.1:1", "127.0.0.2:1", false)
	f("127.0.0.1:1", "127.0.0.1:2", false)
	f("127.0.0.1:0", "127.0.0.1:0", false)
	f("unix:///a", "unix:///a", true)
	f("unix:///a", "127.0.0.1:1", false)
	f("off", "off", false)
}

func TestAddress_Reachable(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		a, err := ParseAddress(text)
		if got := a.Reachable().String(); err != nil || got != want {
			t.Errorf("%s is asked at %s, %v, want %s", text, got, err, want)
		}
	}
	f("0.0.0.0:7082", "127.0.0.1:7082")
	f(":7082", "127.0.0.1:7082")
	f("[::]:7082", "[::1]:7082")
	f("[::ffff:0.0.0.0]:7082", "127.0.0.1:7082")
	f("10.0.0.1:7082", "10.0.0.1:7082")
	f("unix:///a", "unix:///a")
	f("off", "off")
}

func TestNearest(t *testing.T) {
	f := func(word, want string) {
		t.Helper()
		if got := nearest(word, []string{"listen", "limits", "log", "accounts", "callers"}); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	f("listn", "listen")
	f("lsiten", "listen")
	f("account", "accounts")
	f("lgo", "")
	f("log", "log")
	f("zzzzzzzz", "")
	f("", "")
}
