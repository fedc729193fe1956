package dial

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/dial/dnstest"
)

func TestDNS_Lookup(t *testing.T) {
	f := func(name, want string, answer func(network string, q []byte) []byte) {
		t.Helper()
		d := &dnsClient{server: dnstest.New(t, answer)}
		addrs, err := d.lookup(t.Context(), "api.weixin.qq.com")
		got := strings.Trim(fmt.Sprint(addrs), "[]")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	both := func(q []byte) []byte {
		if dnstest.Type(q) == typeA {
			return dnstest.Answer(q, 0, "43.1.2.3", "43.1.2.4")
		}
		return dnstest.Answer(q, 0, "240e::1")
	}
	f("both", "43.1.2.3 43.1.2.4 240e::1", func(_ string, q []byte) []byte { return both(q) })
	f("IPv4 only", "43.1.2.3", func(_ string, q []byte) []byte {
		if dnstest.Type(q) == typeA {
			return dnstest.Answer(q, 0, "43.1.2.3")
		}
		return dnstest.Answer(q, 0)
	})
	f("truncated", "43.1.2.3 43.1.2.4 240e::1", func(network string, q []byte) []byte {
		if network == "udp" {
			return dnstest.Answer(q, 2)
		}
		return both(q)
	})
	f("IPv6 is never answered", "43.1.2.3 43.1.2.4", func(_ string, q []byte) []byte {
		if dnstest.Type(q) == typeA {
			return both(q)
		}
		return nil
	})
	f("no such name", "", func(_ string, q []byte) []byte {
		b := dnstest.Answer(q, 0)
		b[3] |= 3
		return b
	})
	f("another's answer", "", func(_ string, q []byte) []byte {
		b := both(q)
		b[0] ^= 1
		return b
	})
	f("cut", "", func(_ string, q []byte) []byte { b := both(q); return b[:len(b)-1] })
}

// The name is asked of the server even if the hosts file has it.
func TestDNS_BypassesTheHostsFile(t *testing.T) {
	d := &dnsClient{server: dnstest.New(t, func(_ string, q []byte) []byte { return dnstest.Answer(q, 0, "43.1.2.3") })}
	system, err := LookupSystem(t.Context(), "localhost")
	if err != nil || len(system) == 0 || !system[0].IsLoopback() {
		t.Fatalf("the system knows localhost as %v, %v", system, err)
	}
	addrs, err := d.lookup(t.Context(), "localhost")
	if err != nil || addrs[0].String() != "43.1.2.3" {
		t.Errorf("lookup = %v, %v", addrs, err)
	}
}

func TestAppendQuestion_Refuses(t *testing.T) {
	for _, host := range []string{"", ".", "a..b", strings.Repeat("x", 64) + ".com"} {
		if _, err := appendQuestion(nil, 1, host, typeA); err == nil {
			t.Errorf("appendQuestion(%q) was not refused", host)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	question, err := appendQuestion(nil, 7, "api.weixin.qq.com", typeA)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(dnstest.Answer(question, 0, "43.1.2.3"))
	f.Add(question)
	f.Fuzz(func(t *testing.T, b []byte) {
		addrs, err := parseAnswer(b, question, typeA)
		if err != nil && addrs != nil {
			t.Errorf("addresses %v with %v", addrs, err)
		}
		if len(b) < len(question) && !errors.Is(err, errDNSShort) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	})
}
