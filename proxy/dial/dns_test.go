package dial

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

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
		if dnstest.Type(q) == uint16(dnsmessage.TypeA) {
			return dnstest.Answer(q, 0, "43.1.2.3", "43.1.2.4")
		}
		return dnstest.Answer(q, 0, "240e::1")
	}
	f("both", "43.1.2.3 43.1.2.4 240e::1", func(_ string, q []byte) []byte { return both(q) })
	f("IPv4 only", "43.1.2.3", func(_ string, q []byte) []byte {
		if dnstest.Type(q) == uint16(dnsmessage.TypeA) {
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
		if dnstest.Type(q) == uint16(dnsmessage.TypeA) {
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

func TestNewQuestion_Refuses(t *testing.T) {
	for _, host := range []string{"", ".", "a..b", ".a", strings.Repeat("x", 64) + ".com", strings.Repeat("x.", 128)} {
		if _, _, err := newQuestion(1, host, dnsmessage.TypeA); err == nil || !strings.Contains(err.Error(), "not a name") {
			t.Errorf("newQuestion(%q): %v", host, err)
		}
	}
}

// The answer to another question is not believed, whoever sent it.
func TestParseAnswer_Foreign(t *testing.T) {
	asked, message, err := newQuestion(7, "api.weixin.qq.com", dnsmessage.TypeA)
	if err != nil {
		t.Fatal(err)
	}
	good := dnstest.Answer(message, 0, "43.1.2.3")
	if addrs, err := parseAnswer(good, 7, asked); err != nil || len(addrs) != 1 {
		t.Fatalf("%v, %v", addrs, err)
	}
	for i, change := range []func(b []byte){
		func(b []byte) { b[0] ^= 1 },              // the id
		func(b []byte) { b[2] &^= 0x80 },          // a question
		func(b []byte) { b[13] ^= 1 },             // the name
		func(b []byte) { b[len(message)-3] = 28 }, // the type
		func(b []byte) { b[len(message)-1] = 3 },  // the class
	} {
		b := bytes.Clone(good)
		change(b)
		if addrs, err := parseAnswer(b, 7, asked); !errors.Is(err, errDNSForeign) {
			t.Errorf("%d: %v, %v", i, addrs, err)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	asked, message, err := newQuestion(7, "api.weixin.qq.com", dnsmessage.TypeA)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(dnstest.Answer(message, 0, "43.1.2.3"))
	f.Add(message)
	f.Fuzz(func(t *testing.T, b []byte) {
		addrs, err := parseAnswer(b, 7, asked)
		if err != nil && addrs != nil {
			t.Errorf("addresses %v with %v", addrs, err)
		}
		if len(b) < len(message) && err == nil {
			t.Errorf("%d bytes are an answer: %v", len(b), addrs)
		}
	})
}
