package proxy

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// An answer's hop-by-hop headers stay here, and whatever one of its Connection lines names.
func TestStripHead_Connection(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		var h fasthttp.ResponseHeader
		h.SetNoDefaultContentType(true)
		head := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + strings.Join(append(lines, "", ""), "\r\n")
		if err := h.Read(bufio.NewReader(strings.NewReader(head))); err != nil {
			t.Fatal(err)
		}
		stripHead(&h, &injected{})
		var got []string
		for name, value := range h.All() {
			got = append(got, fmt.Sprintf("%s: %s", name, value))
		}
		if strings.Join(got, ", ") != "Content-Length: 2"+want {
			t.Errorf("%q: %q", lines, got)
		}
	}
	f("")
	f("", "Connection: keep-alive")
	f("", "Connection: close")
	f("", "Connection: keep-alive", "Keep-Alive: timeout=5")
	f(", A: 1", "A: 1", "Connection: B", "B: 2")
	f(", A: 1", "Connection: B", "A: 1", "Connection: C", "B: 2", "C: 3")
	f(", A: 1", "Connection: B", "Connection: keep-alive", "A: 1", "B: 2")
	f(", A: 1", "Connection: close", "Connection: keep-alive, B", "A: 1", "B: 2")
	f(", A: 1", "Connection: Connection, Content-Length", "A: 1")
	f(", A: 1", "A: 1", "Upgrade: x", "Trailer: y", "X-Wxsidecar-Error: z")
}
