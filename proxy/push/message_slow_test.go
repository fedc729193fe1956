package push

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// replyFunc is a handler of messages.
type replyFunc func(context.Context) ([]byte, error)

func (f replyFunc) HandleMessage(ctx context.Context, _ *wechat.Message) ([]byte, error) {
	return f(ctx)
}

// answered serves one connection whose other side is write's, and returns what came back
// and after how long.
func answered(t *testing.T, change func(*Server), handle replyFunc, write func(net.Conn)) (string, time.Duration) {
	t.Helper()
	s, err := New(Options{
		Handler: &refusals{}, Messages: handle,
		Accounts: []Account{{AppID: "wx00000000000000bb", Key: Key{Token: secret.New("t")}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	change(s)
	ours, theirs := net.Pipe()
	begun := time.Now()
	go s.serveConn(s.conns.add(ours))
	go write(theirs)
	answer, err := io.ReadAll(theirs)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer), time.Since(begun)
}

// slowMessage is a message in plain mode with that many blanks.
func slowMessage(blanks int) (head, body string) {
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	body = "<xml><MsgType>text</MsgType></xml>" + strings.Repeat(" ", blanks)
	return "POST /wechat/wx00000000000000bb/message?nonce=1&timestamp=" + stamp + "&signature=" + plainSignature(stamp) +
		" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n", body
}

const successAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\nConnection: close\r\n\r\nsuccess"

// Whoever hangs is cut off before WeChat loses patience, and a body that came slowly leaves
// less time.
func TestMessage_Late(t *testing.T) {
	for _, wait := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			hang := func(ctx context.Context) ([]byte, error) {
				<-ctx.Done()
				return nil, errors.New("cut off")
			}
			var s *Server
			answer, took := answered(t, func(made *Server) { s = made }, hang, func(c net.Conn) {
				head, body := slowMessage(0)
				_, _ = io.WriteString(c, head)
				time.Sleep(wait)
				_, _ = io.WriteString(c, body)
			})
			if answer != successAnswer || took != messageTimeout {
				t.Errorf("answer %q after %s", answer, took)
			}
			if got := s.RecentMessages(); len(got) != 1 || got[0].Result != "late" {
				t.Errorf("recorded are %+v", got)
			}
		})
	}
}

// The repeat of a message whose first copy still waits gets no longer than its own time.
func TestMessage_RepeatOfALateOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
		var first *Server
		twice := func(s *Server) { first = s }
		answer, _ := answered(t, twice, slow, func(c net.Conn) {
			head, body := slowMessage(0)
			ours, theirs := net.Pipe()
			go first.serveConn(first.conns.add(ours))
			go func() { _, _ = io.WriteString(theirs, head+body) }()
			time.Sleep(time.Second)
			go func() { _, _ = io.WriteString(c, head+body) }()
			if answer, err := io.ReadAll(theirs); err != nil || string(answer) != successAnswer {
				t.Errorf("the first: %q, %v", answer, err)
			}
		})
		if answer != successAnswer {
			t.Errorf("the repeat: %q", answer)
		}
	})
}

// A message that came too late to ask anybody is not taken for one that was answered: WeChat sends
// it again, and it is handled then.
func TestMessage_TooLateToAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		ask := func(context.Context) ([]byte, error) { asked++; return nil, nil }
		answer, _ := answered(t, func(*Server) {}, ask, func(c net.Conn) {
			head, body := slowMessage(0)
			_, _ = io.WriteString(c, head)
			time.Sleep(messageTimeout + 100*time.Millisecond)
			_, _ = io.WriteString(c, body)
		})
		if !strings.HasPrefix(answer, "HTTP/1.1 500 ") || asked != 0 {
			t.Errorf("answer %q; the handler was asked %d times without time to reply", answer, asked)
		}
	})
}

// A copy whose first one panics comes again, as that does.
func TestMessage_CopyOfOneThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var first *Server
		answer, _ := answered(t, func(s *Server) { first = s }, func(context.Context) ([]byte, error) { <-release; panic("x") }, func(c net.Conn) {
			head, body := slowMessage(0)
			ours, theirs := net.Pipe()
			go first.serveConn(first.conns.add(ours))
			go func() {
				defer theirs.Close()
				_, _ = io.WriteString(theirs, head+body)
				_, _ = io.Copy(io.Discard, theirs)
			}()
			synctest.Wait()
			_, _ = io.WriteString(c, head+body)
			synctest.Wait()
			close(release)
		})
		if !strings.HasPrefix(answer, "HTTP/1.1 500 ") {
			t.Errorf("the copy: %q", answer)
		}
	})
}

// While a message waits for its reply it holds nothing that the reading of others needs.
func TestMessage_WaitsWithoutAReadersRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *Server
		held := -1
		answer, _ := answered(t, func(made *Server) { s = made }, func(context.Context) ([]byte, error) {
			held = len(s.budget.signed.slots) + len(s.budget.unsigned.slots)
			return nil, nil
		}, func(c net.Conn) {
			head, body := slowMessage(5000)
			_, _ = io.WriteString(c, head+body)
		})
		if answer != successAnswer || held != 0 {
			t.Errorf("answer %q; %d places are held", answer, held)
		}
	})
}

// Messages that wait for replies have room of their own. Without any they come again.
func TestMessage_RoomForReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(blanks int, want string, change func(*budget)) {
			t.Helper()
			reply := func(context.Context) ([]byte, error) { return nil, nil }
			answer, _ := answered(t, func(s *Server) { change(s.budget) }, reply, func(c net.Conn) {
				head, body := slowMessage(blanks)
				_, _ = io.WriteString(c, head+body)
			})
			if answer != want {
				t.Errorf("%d blanks: answer %q; want %q", blanks, answer, want)
			}
		}
		used := func(b *budget) { fill(b.handled.slots); fill(b.handled.blocks) }
		f(5000, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", used)
		f(100, successAnswer, used)
		f(5000, successAnswer, func(b *budget) { fill(b.unsigned.slots); fill(b.unsigned.blocks) })
	})
}
