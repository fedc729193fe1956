package redisurl

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// address returns host:port. What is wrong with it is not repeated: in a URL without an @ it
// may be the password.
func address(text, port string) (string, error) {
	host := text
	if i := strings.LastIndexByte(text, ':'); i >= 0 && !strings.HasSuffix(text, "]") {
		host, port = text[:i], text[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("the port must be a number from 1 to 65535 (an IPv6 address stands in brackets; a password ends with @)")
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if ip := net.ParseIP(inner); !ok || ip == nil || !strings.Contains(inner, ":") {
			return "", errors.New("what stands in brackets must be an IPv6 address")
		}
		return net.JoinHostPort(inner, port), nil
	}
	if host == "" {
		return "", errors.New("the name is missing")
	}
	if strings.Trim(host, letters) != "" {
		return "", errors.New("a name may have letters, digits and . - _ only (an IPv6 address stands in brackets)")
	}
	return net.JoinHostPort(host, port), nil
}
