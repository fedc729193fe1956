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

	"golang.org/x/net/dns/dnsmessage"
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

// dnsClient asks one DNS server for addresses. Go's resolver cannot be used, since it reads
// the hosts file even for names with a trailing dot: in a pod whose hosts file points
// api.weixin.qq.com at the sidecar, the sidecar would call itself.
type dnsClient struct {
	server string // host:port
}

const (
	dnsTries       = 3
	dnsTry         = 1500 * time.Millisecond
	dnsOtherFamily = 300 * time.Millisecond
	dnsMaxBytes    = 4096
)

var (
	errDNSTruncated = errors.New("the DNS answer is truncated")
	errDNSForeign   = errors.New("the DNS answer belongs to another question")
)

// lookup returns the IPv4 and IPv6 addresses of host; either is enough. Once it has those
// of IPv4 it waits dnsOtherFamily for IPv6, which some servers never answer.
func (d *dnsClient) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		addrs []netip.Addr
		err   error
	}
	second := make(chan answer, 1)
	go func() {
		addrs, err := d.ask(ctx, host, dnsmessage.TypeAAAA)
		second <- answer{addrs, err}
	}()
	v4, err := d.ask(ctx, host, dnsmessage.TypeA)
	if len(v4) > 0 {
		defer time.AfterFunc(dnsOtherFamily, cancel).Stop()
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
func (d *dnsClient) ask(ctx context.Context, host string, qtype dnsmessage.Type) (addrs []netip.Addr, err error) {
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

func (d *dnsClient) exchange(ctx context.Context, network, host string, qtype dnsmessage.Type) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTry)
	defer cancel()
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, network, d.server)
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", d.server, err)
	}
	defer nc.Close() //nolint:errcheck // nothing is lost with it
	// The end of ctx makes reads and writes fail at once.
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	id := uint16(rand.Uint32())
	question, message, err := newQuestion(id, host, qtype)
	if err != nil {
		return nil, err
	}
	answer, err := transfer(nc, network == "tcp", message)
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", d.server, err)
	}
	return parseAnswer(answer, id, question)
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

// newQuestion returns a recursive question for the addresses of host, packed as well.
func newQuestion(id uint16, host string, qtype dnsmessage.Type) (dnsmessage.Question, []byte, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
	q := dnsmessage.Question{Name: name, Type: qtype, Class: dnsmessage.ClassINET}
	if err == nil && name.Length == 1 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return q, nil, fmt.Errorf("look up %q: not a name: %w", host, err)
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{q},
	}
	packed, err := message.Pack()
	if err != nil {
		return q, nil, fmt.Errorf("look up %q: not a name: %w", host, err)
	}
	return q, packed, nil
}

// parseAnswer returns the addresses in an answer to q. It does not follow aliases: the
// server has resolved them, so all addresses in the answer belong to the name in q.
func parseAnswer(b []byte, id uint16, q dnsmessage.Question) ([]netip.Addr, error) {
	var p dnsmessage.Parser
	header, err := p.Start(b)
	if err != nil {
		return nil, fmt.Errorf("read the DNS answer: %w", err)
	}
	answered, err := p.Question()
	if err != nil {
		return nil, fmt.Errorf("read the DNS answer: %w", err)
	}
	switch {
	case !header.Response || header.ID != id || answered.Type != q.Type || answered.Class != q.Class ||
		!strings.EqualFold(answered.Name.String(), q.Name.String()):
		return nil, errDNSForeign
	case header.Truncated:
		return nil, errDNSTruncated
	case header.RCode != dnsmessage.RCodeSuccess:
		return nil, fmt.Errorf("the DNS server answered with code %d", header.RCode)
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, fmt.Errorf("read the DNS answer: %w", err)
	}
	return parseAddresses(&p, q.Type)
}

func parseAddresses(p *dnsmessage.Parser, qtype dnsmessage.Type) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return addrs, nil
		}
		switch {
		case err != nil:
		case h.Type != qtype:
			err = p.SkipAnswer()
		case qtype == dnsmessage.TypeA:
			var a dnsmessage.AResource
			a, err = p.AResource()
			addrs = append(addrs, netip.AddrFrom4(a.A))
		default:
			var a dnsmessage.AAAAResource
			a, err = p.AAAAResource()
			addrs = append(addrs, netip.AddrFrom16(a.AAAA).Unmap())
		}
		if err != nil {
			return nil, fmt.Errorf("read the DNS answer: %w", err)
		}
	}
}
