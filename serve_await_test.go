package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/redisstore"
)

// The signal that comes while the store or a listener is opened ends the start, and SIGHUP
// does not.
func TestStartWatch(t *testing.T) {
	f := func(sent []os.Signal, want os.Signal) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal, 4)
			w := watchStart(t.Context(), signals)
			for _, sig := range sent {
				signals <- sig
			}
			synctest.Wait()
			if ended := w.ctx.Err() != nil; ended != (want != nil) {
				t.Errorf("%v: the start ends: %v", sent, ended)
			}
			if got := w.stop(); got != want {
				t.Errorf("%v: got %v, want %v", sent, got, want)
			}
			signals <- syscall.SIGTERM
			synctest.Wait()
			if len(signals) != 1 {
				t.Error("a signal is taken after the start")
			}
		})
	}
	f(nil, nil)
	f([]os.Signal{syscall.SIGHUP, syscall.SIGHUP}, nil)
	f([]os.Signal{syscall.SIGHUP, syscall.SIGTERM}, syscall.SIGTERM)
	f([]os.Signal{syscall.SIGINT}, syscall.SIGINT)
}

// The watch ends with the context that it was given.
func TestStartWatch_Ends(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := watchStart(ctx, nil)
	cancel()
	<-w.done
	if w.stop() != nil {
		t.Error("a signal that did not come")
	}
}

// A store that does not answer is asked again for a while; anything else ends the wait.
func TestAwaitStore(t *testing.T) {
	away := fmt.Errorf("connect: refused: %w", redisstore.ErrUnavailable)
	f := func(answers func(attempt int) error, ends time.Duration, want error, attempts int, lasts time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), ends)
			defer cancel()
			var log bytes.Buffer
			n, began := 0, time.Now()
			_, err := awaitStore(ctx, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) (opened, error) {
				n++
				return opened{}, answers(n)
			})
			if !errors.Is(err, want) || n != attempts || time.Since(began) != lasts {
				t.Errorf("%v after %d attempts and %s; want %v, %d, %s", err, n, time.Since(began), want, attempts, lasts)
			}
			if told := strings.Count(log.String(), "connect: refused"); told != attempts-1 && told != attempts {
				t.Errorf("the cause is told %d times", told)
			}
		})
	}
	bad := errors.New("wrong password")
	always := func(err error) func(int) error { return func(int) error { return err } }
	f(always(nil), time.Hour, nil, 1, 0)
	f(always(bad), time.Hour, bad, 1, 0)
	f(always(away), time.Hour, redisstore.ErrUnavailable, 20, storePatience)
	f(always(away), 10*time.Second, context.DeadlineExceeded, 4, 10*time.Second)
	f(func(n int) error {
		if n < 4 {
			return away
		}
		return nil
	}, time.Hour, nil, 4, 3*storeRetry)
	f(func(n int) error {
		if n < 3 {
			return away
		}
		return bad
	}, time.Hour, bad, 3, 2*storeRetry)
}
