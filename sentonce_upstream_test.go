//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// dyingUpstream is a WeChat that gives a token, counts the calls with ids, and whose
// connections end at any point.
type dyingUpstream struct {
	url    string
	root   *x509.Certificate // nil without TLS
	config *tls.Config
	ln     net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	began map[string]int // calls of which a part came, by id
	whole map[string]int // calls that came whole
	open  map[net.Conn]struct{}
}

func newDyingUpstream(t *testing.T, secure bool) *dyingUpstream {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &dyingUpstream{
		url: "http://" + ln.Addr().String(), ln: ln,
		began: map[string]int{}, whole: map[string]int{}, open: map[net.Conn]struct{}{},
	}
	if secure {
		identity := httptest.NewUnstartedServer(nil)
		identity.StartTLS()
		u.config, u.root = &tls.Config{Certificates: identity.TLS.Certificates}, identity.Certificate()
		identity.Close()
		u.url = "https://" + ln.Addr().String()
	}
	u.wg.Go(u.accept)
	t.Cleanup(u.close)
	return u
}

// close ends all connections and waits for their goroutines. It may be called twice.
func (u *dyingUpstream) close() {
	_ = u.ln.Close()
	u.mu.Lock()
	for c := range u.open {
		_ = c.Close()
	}
	u.mu.Unlock()
	u.wg.Wait()
}

func (u *dyingUpstream) accept() {
	for n := uint64(0); ; n++ {
		raw, err := u.ln.Accept()
		if err != nil {
			return
		}
		u.mu.Lock()
		u.open[raw] = struct{}{}
		u.mu.Unlock()
		u.wg.Go(func() {
			u.serve(raw, rand.New(rand.NewPCG(2, n)))
			u.mu.Lock()
			delete(u.open, raw)
			u.mu.Unlock()
		})
	}
}

// serve answers calls over one connection until that dies, with RST or FIN.
func (u *dyingUpstream) serve(raw net.Conn, random *rand.Rand) {
	defer func() {
		if random.IntN(2) == 0 {
			_ = raw.(*net.TCPConn).SetLinger(0)
		}
		_ = raw.Close()
	}()
	if random.IntN(20) == 0 {
		u.peek(raw)
		return // before anything is read
	}
	c := raw
	if u.config != nil {
		c = tls.Server(raw, u.config)
	}
	br := bufio.NewReader(c)
	for u.serveOne(c, br, random) {
	}
}

// serveOne reads one call as far as it comes to, answers as far, and reports whether
// the connection lives on.
func (u *dyingUpstream) serveOne(c net.Conn, br *bufio.Reader, random *rand.Rand) bool {
	line, err := br.ReadString('\n')
	if err != nil {
		return false
	}
	_, id, counted := strings.Cut(strings.Fields(line)[1], "/once/")
	if !counted {
		return answerToken(c, line, br)
	}
	id = id[:8]
	u.count(u.began, id)
	point := random.IntN(24)
	if point == 0 {
		return false // amid the head
	}
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(line), readHead(br), br)))
	if err != nil {
		return false
	}
	switch point {
	case 1:
		return false // before the body
	case 2:
		_, _ = io.CopyN(io.Discard, req.Body, max(req.ContentLength, 2)/2)
		return false
	case 3:
		_, _ = fmt.Fprintf(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(named(id)), named(id))
		return false
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	u.count(u.whole, id)
	return u.answer(c, br, id, point, random)
}

// answer answers a call that came whole.
func (u *dyingUpstream) answer(c net.Conn, br *bufio.Reader, id string, point int, random *rand.Rand) bool {
	good := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(named(id)), named(id))
	text, lives := good, false
	switch point {
	case 4:
		text = ""
	case 5:
		text = good[:1+random.IntN(len(good)-1)]
	case 6:
		text = "HTTP/1.1 100 Continue\r\n\r\n"
	case 7:
		text = strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20)
	case 8:
		text = "+OK\r\n\r\n"
	case 9:
		text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"er"
	case 10:
		text = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
	case 11:
		if random.IntN(8) == 0 {
			_, _ = br.ReadByte() // no answer; the call ends by its time
			return false
		}
	case 12:
		text = "HTTP/1.0 200 OK\r\n\r\n" + named(id) // its end is that of the connection
	case 13, 14:
		// While it is idle: at the moment of the next call, or just before.
	default:
		lives = true
	}
	_, err := io.WriteString(c, text)
	return lives && err == nil
}

func named(id string) string { return `{"errcode":0,"id":"` + id + `"}` }

func (u *dyingUpstream) count(in map[string]int, id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	in[id]++
}

// peek counts the call that has come over a plain connection and is not read.
func (u *dyingUpstream) peek(raw net.Conn) {
	if u.config != nil {
		return
	}
	socket, err := raw.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	var b [64]byte
	n := 0
	_ = socket.Control(func(fd uintptr) { n, _, _ = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT) })
	if _, id, ok := strings.Cut(string(b[:max(n, 0)]), "/once/"); ok && len(id) >= 8 {
		u.count(u.began, id[:8])
	}
}

// readHead reads the rest of a head.
func readHead(br *bufio.Reader) io.Reader {
	var head strings.Builder
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = br.ReadString('\n'); err != nil {
			break
		}
		head.WriteString(line)
	}
	return strings.NewReader(head.String())
}

// answerToken answers the program's own calls.
func answerToken(c net.Conn, line string, br *bufio.Reader) bool {
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(line), readHead(br), br)))
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, req.Body)
	const token = `{"access_token":"a-token-for-these-calls","expires_in":7200}`
	_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(token), token)
	return err == nil
}
