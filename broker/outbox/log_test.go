package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/outbox"
)

// A cause that changes is logged, for each target, and one that stays or alternates floods no log.
func TestRun_LogsEachCause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var logs bytes.Buffer
		a, b := &app{name: "a"}, &app{name: "b"}
		a.answerWith(down)
		b.answerWith(down)
		r := newRig(t, memstore.Options{}, a, b)
		r.opts.Log = slog.New(slog.NewTextHandler(&logs, nil))
		r.start()
		r.add("m", 1)
		time.Sleep(10 * time.Second)
		refuse := func(context.Context, *outbox.Event) error { return errors.New("the secret is wrong") }
		a.answerWith(refuse)
		time.Sleep(time.Hour)
		var n atomic.Int64
		b.answerWith(func(context.Context, *outbox.Event) error { return fmt.Errorf("cause %d", n.Add(1)) })
		for i := 2; i <= 200; i++ { // many merchants: an attempt each few seconds
			r.add(fmt.Sprint("m", i), i)
		}
		time.Sleep(time.Hour)
		r.stop()
		said := func(parts ...string) (lines int) {
			for line := range strings.Lines(logs.String()) {
				if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
					lines++
				}
			}
			return lines
		}
		for _, target := range []string{"target=a", "target=b"} {
			if lines := said(target, errDown.Error()); lines != 1 {
				t.Errorf("%s: its being down was logged %d times", target, lines)
			}
		}
		if lines := said("target=a", "the secret is wrong"); lines != 1 {
			t.Errorf("the new cause was logged %d times", lines)
		}
		if lines := said("target=b", "cause"); lines < 2 || lines > 20 {
			t.Errorf("%d causes that alternate were logged %d times", n.Load(), lines)
		}
	})
}
