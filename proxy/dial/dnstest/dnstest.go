// Package dnstest is a DNS server for tests, whose answers they choose.
package dnstest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
)

// Types of records.
const (
	A    = 1
	AAAA = 28
)

// Answer makes an answer to question with an alias and these addresses.
func Answer(question []byte, flags byte, addrs ...string) []byte {
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
			record(A, addr.AsSlice())
		} else {
			record(AAAA, addr.AsSlice())
		}
	}
	binary.BigEndian.PutUint16(b[6:], uint16(1+len(addrs)))
	return b
}

// New serves answers over UDP and TCP on one port until the test ends, and returns
// its address. An answer of nil is none.
func New(t testing.TB, answer func(network string, question []byte) []byte) string {
	t.Helper()
	pc, ln := listenBoth(t)
	t.Cleanup(func() { _, _ = pc.Close(), ln.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if b := answer("udp", buf[:n]); b != nil {
				_, _ = pc.WriteTo(b, from) // who gets no answer asks again
			}
		}
	}()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serveTCP(c, answer)
		}
	}()
	return pc.LocalAddr().String()
}

// serveTCP answers one question over TCP, where both carry their length.
func serveTCP(c net.Conn, answer func(network string, question []byte) []byte) {
	defer func() { _ = c.Close() }()
	size := make([]byte, 2)
	if _, err := io.ReadFull(c, size); err != nil {
		return
	}
	question := make([]byte, binary.BigEndian.Uint16(size))
	if _, err := io.ReadFull(c, question); err != nil {
		return
	}
	b := answer("tcp", question)
	_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)) // the asker sees what is missing
}

// listenBoth finds a port that is free for UDP and for TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
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
		_ = pc.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// Type returns the type of record that a question asks for.
func Type(question []byte) uint16 {
	return binary.BigEndian.Uint16(question[len(question)-4:])
}
