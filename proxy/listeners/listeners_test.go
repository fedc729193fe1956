package listeners_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/wxsidecar/wxsidecar/proxy/listeners"
)

// script is a listener whose Accepts fail with its errors, one after the other.
type script struct {
	net.Listener
	errs   []error
	closed int
}

func (l *script) Accept() (net.Conn, error) {
	err := l.errs[0]
	l.errs = l.errs[1:]
	if err == nil {
		return nil, nil
	}
	return nil, &net.OpError{Op: "accept", Err: err}
}

func (l *script) Close() error {
	l.closed++
	return nil
}

// A shortage passes; what else fails is the listener's end.
func TestSet_OutlivesAShortage(t *testing.T) {
	var told []error
	set := listeners.Set{OnShortage: func(err error) { told = append(told, err) }}
	l := &script{errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM, nil, syscall.EINVAL, net.ErrClosed}}
	served := set.Add(l)
	if _, err := served.Accept(); err != nil || len(told) != 5 || !errors.Is(told[0], syscall.EMFILE) {
		t.Errorf("Accept: %v, after %v", err, told)
	}
	for _, want := range []error{syscall.EINVAL, net.ErrClosed} {
		if _, err := served.Accept(); !errors.Is(err, want) || len(told) != 5 {
			t.Errorf("Accept: %v; want %v", err, want)
		}
	}
}

func TestSet_StopCloses(t *testing.T) {
	var set listeners.Set
	early, late := &script{}, &script{}
	served := set.Add(early)
	set.Stop()
	if err := served.Close(); err != nil || early.closed != 1 {
		t.Errorf("closed %d times, %v", early.closed, err)
	}
	if set.Add(late) != nil || late.closed != 1 {
		t.Error("a listener is served after Stop")
	}
}
