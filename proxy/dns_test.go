package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// dnsAnswer makes an answer to question with an alias and these addresses.
func dnsAnswer(question []byte, flags byte, addrs ...string) []byte {
	b := bytes.Clone(question)
	b[2], b[3] = 0x81|flags, 0x80
	record := func(rtype uint16, data []byte) {
		b = append(b, 0xc0, 12)
		b = binary.BigEndian.AppendUint16(b, rtype)
		b = append(b, 0, 1, 0, 0, 0, 60)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	}
	record(5, []byte{1, 'x', 0xc0, 12})
	for _, a := range addrs {
		addr := netip.MustParseAddr(a)
		if addr.Is4() {
			record(typeA, addr.AsSlice())
		} else {
			record(typeAAAA, addr.AsSlice())
		}
	}
	binary.BigEndian.PutUint16(b[6:], uint16(1+len(addrs)))
	return b
}

// newDNS serves answers over UDP and TCP on one port; nil is none.
func newDNS(t *testing.T, answer func(network string, question []byte) []byte) string {
	t.Helper()
	pc, ln := listenBoth(t)
	t.Cleanup(func() { pc.Close(); ln.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if b := answer("udp", buf[:n]); b != nil {
				pc.WriteTo(b, from)
			}
		}
	}()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			size := make([]byte, 2)
			io.ReadFull(c, size)
			question := make([]byte, binary.BigEndian.Uint16(size))
			io.ReadFull(c, question)
			b := answer("tcp", question)
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			c.Close()
		}
	}()
	return pc.LocalAddr().String()
}

// listenBoth finds a port that is free for UDP and for TCP.
func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 50 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln
		}
		pc.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

func qtypeOf(question []byte) uint16 {
	return binary.BigEndian.Uint16(question[len(question)-4:])
}

func TestDNS_Lookup(t *testing.T) {
	f := func(name, want string, answer func(network string, q []byte) []byte) {
		t.Helper()
		d := &dnsClient{server: newDNS(t, answer)}
		addrs, err := d.lookup(t.Context(), "api.weixin.qq.com")
		got := strings.Trim(fmt.Sprint(addrs), "[]")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	both := func(q []byte) []byte {
		if qtypeOf(q) == typeA {
			return dnsAnswer(q, 0, "43.1.2.3", "43.1.2.4")
		}
		return dnsAnswer(q, 0, "240e::1")
	}
	f("both", "43.1.2.3 43.1.2.4 240e::1", func(_ string, q []byte) []byte { return both(q) })
	f("IPv4 only", "43.1.2.3", func(_ string, q []byte) []byte {
		if qtypeOf(q) == typeA {
			return dnsAnswer(q, 0, "43.1.2.3")
		}
		return dnsAnswer(q, 0)
	})
	f("truncated", "43.1.2.3 43.1.2.4 240e::1", func(network string, q []byte) []byte {
		if network == "udp" {
			return dnsAnswer(q, 2)
		}
		return both(q)
	})
	f("IPv6 is never answered", "43.1.2.3 43.1.2.4", func(_ string, q []byte) []byte {
		if qtypeOf(q) == typeA {
			return both(q)
		}
		return nil
	})
	f("no such name", "", func(_ string, q []byte) []byte {
		b := dnsAnswer(q, 0)
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
	d := &dnsClient{server: newDNS(t, func(_ string, q []byte) []byte { return dnsAnswer(q, 0, "43.1.2.3") })}
	system, err := lookupSystem(t.Context(), "localhost")
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
	f.Add(dnsAnswer(question, 0, "43.1.2.3"))
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
