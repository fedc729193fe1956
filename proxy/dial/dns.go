package dial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"
)

// LookupSystem asks the system for the addresses of host: its hosts file and
// resolvers.
func LookupSystem(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// LookupAt returns a lookup that asks the DNS server at host:port, and nobody else.
func LookupAt(server string) func(ctx context.Context, host string) ([]netip.Addr, error) {
	return (&dnsClient{server: server}).lookup
}

// dnsClient asks one DNS server for addresses. It exists because Go's resolver
// reads the hosts file even for names with a trailing dot, and a pod whose hosts
// file says that api.weixin.qq.com is the sidecar must not have the sidecar call
// itself.
type dnsClient struct {
	server string // host:port
}

const (
	typeA    = 1
	typeAAAA = 28
	classIN  = 1

	dnsTries       = 3
	dnsTry         = 1500 * time.Millisecond
	dnsSecond      = 300 * time.Millisecond
	dnsHeaderBytes = 12
	dnsMaxBytes    = 4096
)

var (
	errDNSShort     = errors.New("the DNS answer is cut short")
	errDNSTruncated = errors.New("the DNS answer is truncated")
	errDNSForeign   = errors.New("the DNS answer belongs to another question")
)

// lookup returns the IPv4 and IPv6 addresses of host; one kind is enough. Servers
// that never answer for IPv6 cost no more than dnsSecond.
func (d *dnsClient) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		addrs []netip.Addr
		err   error
	}
	second := make(chan answer, 1)
	go func() {
		addrs, err := d.ask(ctx, host, typeAAAA)
		second <- answer{addrs, err}
	}()
	v4, err := d.ask(ctx, host, typeA)
	if len(v4) > 0 {
		defer time.AfterFunc(dnsSecond, cancel).Stop()
	}
	v6 := <-second
	if all := append(v4, v6.addrs...); len(all) > 0 {
		return all, nil
	}
	if err == nil {
		err = v6.err
	}
	return nil, err
}

// ask sends one question by UDP, a few times, and by TCP if the answer does not
// fit into a datagram.
func (d *dnsClient) ask(ctx context.Context, host string, qtype uint16) (addrs []netip.Addr, err error) {
	network := "udp"
	for range dnsTries {
		addrs, err = d.exchange(ctx, network, host, qtype)
		switch {
		case err == nil || ctx.Err() != nil:
			return addrs, err
		case errors.Is(err, errDNSTruncated):
			network = "tcp"
		}
	}
	return nil, err
}

func (d *dnsClient) exchange(ctx context.Context, network, host string, qtype uint16) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTry)
	defer cancel()
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, network, d.server)
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", d.server, err)
	}
	defer nc.Close() //nolint:errcheck // nothing is lost with it
	// Its end, too early or in time, ends the reading.
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	id := uint16(rand.Uint32())
	question, err := appendQuestion(nil, id, host, qtype)
	if err != nil {
		return nil, err
	}
	answer, err := transfer(nc, network == "tcp", question)
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", d.server, err)
	}
	return parseAnswer(answer, question, qtype)
}

// transfer sends a message and reads the answer; over TCP both carry their length.
func transfer(nc net.Conn, framed bool, message []byte) ([]byte, error) {
	buf := make([]byte, dnsMaxBytes)
	if !framed {
		if _, err := nc.Write(message); err != nil {
			return nil, err
		}
		n, err := nc.Read(buf)
		return buf[:n], err
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(len(message)))
	if _, err := nc.Write(append(out, message...)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(nc, buf[:2]); err != nil {
		return nil, err
	}
	buf = make([]byte, binary.BigEndian.Uint16(buf))
	_, err := io.ReadFull(nc, buf)
	return buf, err
}

// appendQuestion appends a recursive question of RFC 1035.
func appendQuestion(b []byte, id uint16, host string, qtype uint16) ([]byte, error) {
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0) // recursion desired, one question
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 {
			return nil, fmt.Errorf("look up %q: not a name", host)
		}
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, qtype)
	return binary.BigEndian.AppendUint16(b, classIN), nil
}

// parseAnswer returns the addresses of type qtype in an answer to question. Names
// are not followed: the server resolved the aliases, and all addresses in the
// answer belong to the name asked for.
func parseAnswer(b, question []byte, qtype uint16) ([]netip.Addr, error) {
	if len(b) < len(question) {
		return nil, errDNSShort
	}
	if b[0] != question[0] || b[1] != question[1] || b[2]&0x80 == 0 || !equalNames(b[dnsHeaderBytes:len(question)], question[dnsHeaderBytes:]) {
		return nil, errDNSForeign
	}
	if b[2]&0x02 != 0 {
		return nil, errDNSTruncated
	}
	if rcode := b[3] & 0x0f; rcode != 0 {
		return nil, fmt.Errorf("the DNS server answered with code %d", rcode)
	}
	return parseRecords(b[len(question):], int(binary.BigEndian.Uint16(b[6:])), qtype)
}

func equalNames(a, b []byte) bool { return strings.EqualFold(string(a), string(b)) }

func parseRecords(rest []byte, count int, qtype uint16) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for range count {
		n, ok := nameLength(rest)
		if !ok || len(rest) < n+10 {
			return nil, errDNSShort
		}
		record := rest[n:]
		size := int(binary.BigEndian.Uint16(record[8:]))
		if len(record) < 10+size {
			return nil, errDNSShort
		}
		data := record[10 : 10+size]
		rest = record[10+size:]
		if binary.BigEndian.Uint16(record) != qtype {
			continue
		}
		if a, ok := netip.AddrFromSlice(data); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs, nil
}

// nameLength returns how many bytes a name takes, where a pointer ends it.
func nameLength(b []byte) (int, bool) {
	for i := 0; i < len(b); {
		switch c := int(b[i]); {
		case c == 0:
			return i + 1, true
		case c >= 0xc0:
			return i + 2, true
		default:
			i += c + 1
		}
	}
	return 0, false
}
