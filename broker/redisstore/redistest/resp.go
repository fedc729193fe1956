package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// answerTimeout bounds a command of the test's own. A server that was stopped does not answer.
const answerTimeout = 5 * time.Second

// roundTrip sends commands over one connection and returns the answer to the last; an earlier
// one that fails ends it.
func roundTrip(c net.Conn, commands ...[]string) (any, error) {
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(c)
	var answer any
	for _, args := range commands {
		if _, err := io.WriteString(c, encode(args)); err != nil {
			return nil, err
		}
		var err error
		if answer, err = decode(r); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// serverError is what the server answers when it does not do what it was asked.
type serverError string

func (e serverError) Error() string { return string(e) }

// encode writes a command in Redis' protocol, RESP2.
func encode(args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// decode reads an answer: a string, an int64, nil or a list of these. An error of the server's is
// one; within a list it is an element.
func decode(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	sort, rest := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch sort {
	case '+':
		return rest, nil
	case '-':
		return nil, serverError(rest)
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case '$', '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return nil, err
		}
		if sort == '$' {
			return decodeBulk(r, n)
		}
		return decodeList(r, n)
	}
	return nil, fmt.Errorf("an answer that begins with %q", line)
}

func decodeBulk(r *bufio.Reader, n int) (any, error) {
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return string(b[:n]), nil
}

func decodeList(r *bufio.Reader, n int) (any, error) {
	list := make([]any, n)
	for i := range list {
		element, err := decode(r)
		var refused serverError
		if errors.As(err, &refused) {
			element, err = refused, nil
		}
		if err != nil {
			return nil, err
		}
		list[i] = element
	}
	return list, nil
}

// field returns what a text of lines "name:value", as INFO gives it, has under a name.
func field(text, name string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}
