package dial

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

const (
	// maxConnectHead is how long the head of an answer to CONNECT may be.
	maxConnectHead = 16 << 10
	// maxInterim is how many 1xx answers may come before it.
	maxInterim = 8
)

var errLongHead = errors.New("the head of the proxy's answer has no end")

// openHTTP asks an HTTP proxy for a tunnel to target.
// https://www.rfc-editor.org/rfc/rfc9110#name-connect
func (p *Proxy) openHTTP(nc net.Conn, target string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: wxsidecar\r\nVia: 1.1 %s\r\n", target, target, p.id)
	if p.url.user != "" {
		credentials := base64.StdEncoding.EncodeToString([]byte(p.url.user + ":" + p.url.password))
		b.WriteString("Proxy-Authorization: Basic " + credentials + "\r\n")
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(nc, b.String()); err != nil {
		return closedEarly(err)
	}
	for range maxInterim {
		head, err := readConnectHead(nc)
		switch {
		case errors.Is(err, errLongHead):
			return notHTTP("the head of its answer has more than 16 KiB")
		case err != nil && len(head) > 0 && !bytes.HasPrefix(head, []byte("HTTP/1.")[:min(7, len(head))]):
			return notHTTP("")
		case err != nil:
			return closedEarly(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
		if err != nil {
			return notHTTP("")
		}
		if code := answer.StatusCode; code >= 200 || code == http.StatusSwitchingProtocols {
			return p.connectError(code, answer.Header, target)
		}
	}
	return notHTTP("its answer never comes to an end of 1xx")
}

// readConnectHead reads the head of an answer and not a byte more, since what follows
// belongs to the tunnel. With an error it returns what was read.
func readConnectHead(r io.Reader) ([]byte, error) {
	head := make([]byte, 0, 256)
	for len(head) < maxConnectHead {
		n := len(head)
		head = append(head, 0)
		if _, err := io.ReadFull(r, head[n:]); err != nil {
			return head[:n], err
		}
		if head[n] == '\n' && (bytes.HasSuffix(head, []byte("\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n"))) {
			return head, nil
		}
	}
	return head, errLongHead
}

func notHTTP(detail string) *ProxyError {
	return &ProxyError{Reason: "the answer is not an HTTP proxy's (upstream.proxy)", Detail: detail}
}

// connectError returns the error of the final answer to a CONNECT; nil if the tunnel is open.
func (p *Proxy) connectError(code int, h http.Header, target string) error {
	answered := fmt.Sprintf("the proxy answered %d", code)
	// Some answer 401 to credentials that are wrong, tinyproxy among them.
	unauthorized := code == http.StatusProxyAuthRequired || code == http.StatusUnauthorized
	switch {
	case code >= 200 && code < 300:
		return nil
	case unauthorized && p.url.user == "":
		return &ProxyError{Reason: "credentials are wanted, and none are given (upstream.proxy): " + answered + schemesHint(h)}
	case unauthorized:
		return &ProxyError{Reason: "credentials refused (upstream.proxy): " + answered + schemesHint(h)}
	case code >= 500:
		return &ProxyError{Reason: "the proxy does not reach " + target + " (upstream.proxy): it answered " + fmt.Sprint(code), Elsewhere: true}
	default:
		return &ProxyError{Reason: "the proxy refuses " + target + " (upstream.proxy): it answered " + fmt.Sprint(code)}
	}
}

// schemesHint says that a proxy does not take the only credentials that we give.
func schemesHint(h http.Header) string {
	offered := h.Values("Proxy-Authenticate")
	if len(offered) == 0 {
		return ""
	}
	for _, line := range offered {
		// A line may list several schemes, and quoted strings in it may have the word by
		// chance. A false match only omits the hint.
		if strings.Contains(strings.ToLower(line), "basic") {
			return ""
		}
	}
	return "; it does not take Basic credentials, and the sidecar gives no others"
}
