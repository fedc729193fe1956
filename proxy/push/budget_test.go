package push

import (
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
)

// validPush is a push of nobody's type, with that many blanks in its body.
func validPush(t *testing.T, blanks int) string {
	t.Helper()
	codec, err := msgcrypt.New("t", strings.Repeat("A", 43), "wx7f00c0de00000001")
	if err != nil {
		t.Fatal(err)
	}
	plain := "<xml><AppId>wx7f00c0de00000001</AppId><CreateTime>1</CreateTime><InfoType>new</InfoType></xml>"
	e, err := codec.Seal([]byte(plain), strconv.FormatInt(time.Now().Unix(), 10), "1")
	if err != nil {
		t.Fatal(err)
	}
	body := string(e.PushXML("wx7f00c0de00000001")) + strings.Repeat(" ", blanks)
	return "POST /wechat/wx7f00c0de00000001/event?msg_signature=" + e.MsgSignature + "&nonce=1&timestamp=" + e.TimeStamp +
		"&signature=" + msgcrypt.Signature("t", e.TimeStamp, "1", "") +
		" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func fill(c chan struct{}) {
	for range cap(c) {
		c <- struct{}{}
	}
}

func TestBudget_LimitsInAll(t *testing.T) {
	r := newBudget()
	if n := cap(r.unsigned.slots) + cap(r.signed.slots); n != 1024 {
		t.Errorf("%d places", n)
	}
	if n := (cap(r.unsigned.blocks) + cap(r.signed.blocks)) * slotBytes; n != 16<<20 {
		t.Errorf("%d bytes for long bodies", n)
	}
}

// Who finds no room waits for a second, and not for ever in a crowd.
func TestReservation_Waits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newShare(1, 2*slotBytes)
		begun := time.Now()
		hold := func() *reservation { return &reservation{share: l} }
		want := func(h *reservation, size int, want bool, after time.Duration) {
			t.Helper()
			if got := h.reserve(size); got != want || time.Since(begun) != after {
				t.Errorf("%d bytes: %v after %s", size, got, time.Since(begun))
			}
		}
		first, second := hold(), hold()
		want(first, unreservedBytes, true, 0)
		want(second, slotBytes, true, 0)
		want(first, unreservedBytes+1, false, reserveTimeout)
		want(second, 3*slotBytes, true, reserveTimeout)
		want(second, 3*slotBytes+1, false, 2*reserveTimeout)
		time.AfterFunc(reserveTimeout/2, second.release)
		third := hold()
		want(third, 2*slotBytes, true, 2*reserveTimeout+reserveTimeout/2)
		time.Sleep(reserveTimeout)
		want(third, 4*slotBytes, false, 3*reserveTimeout+reserveTimeout/2) // it has waited before
		third.release()
		if len(l.slots)+len(l.blocks)+len(l.waiting) != 0 {
			t.Errorf("%d places and %d pieces are held", len(l.slots), len(l.blocks))
		}
		fill(l.slots)
		fill(l.waiting)
		want(hold(), unreservedBytes+1, false, 3*reserveTimeout+reserveTimeout/2)
	})
}

// Bytes are held as they come, whatever is announced.
func TestReadBody_HoldsWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(sent, places, pieces int) {
			t.Helper()
			ours, theirs := net.Pipe()
			defer theirs.Close()
			go func() { _, _ = io.WriteString(theirs, strings.Repeat("x", sent)) }()
			l := newShare(1, 1<<20)
			h := &reservation{share: l}
			if _, err := readBody(&conn{Conn: ours, now: time.Now}, &request{length: 1_048_000}, h); !errors.Is(err, errCutOff) {
				t.Errorf("%d bytes: %v", sent, err)
			}
			if len(l.slots) != places || len(l.blocks) != pieces {
				t.Errorf("%d bytes hold %d places and %d pieces", sent, len(l.slots), len(l.blocks))
			}
		}
		f(10, 0, 0)
		f(unreservedBytes-1, 0, 0)
		f(unreservedBytes, 1, 0)
		f(slotBytes-1, 1, 0)
		f(slotBytes, 1, 1)
		f(100_000, 1, 7)
	})
}

// Strangers that use up all of their room keep out strangers alone: neither what fits
// in a connection's own room nor what WeChat signed.
func TestServer_UnsignedRequestsKeepNobodyOut(t *testing.T) {
	f := func(name string, causes []string, change func(s *budget, push string) string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s, told := newAlone(t)
			ours, theirs := net.Pipe()
			push := change(s.budget, validPush(t, 5000))
			go func() { _, _ = io.WriteString(theirs, push) }()
			s.serveConn(s.conns.add(pipeConn{ours}))
			_ = theirs.Close()
			if !slices.Equal(told.causes, causes) {
				t.Errorf("%s: the handler was told %q", name, told.causes)
			}
		})
	}
	f("signed", nil, func(r *budget, push string) string {
		fill(r.unsigned.slots)
		fill(r.unsigned.blocks)
		return push
	})
	f("a stranger's", []string{"busy"}, func(r *budget, push string) string {
		fill(r.unsigned.slots)
		return strings.Replace(push, "&signature=", "&signature=x", 1)
	})
	f("a stranger's short one", nil, func(r *budget, _ string) string {
		fill(r.unsigned.slots)
		return strings.Replace(validPush(t, 0), "&signature=", "&signature=x", 1)
	})
}
