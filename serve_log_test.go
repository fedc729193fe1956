package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy"
)

func TestLogger_LimitsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newLogger(&out, config.Log{Level: "info", Format: "json"}, &slog.LevelVar{})
		count := func(part string, want int) {
			t.Helper()
			if n := strings.Count(out.String(), part); n != want {
				t.Errorf("%d lines with %s, want %d", n, part, want)
			}
		}
		refused := log.With("listener", "push")
		for range maxLines + 50 {
			refused.Warn("push refused", "cause", "forged")
		}
		log.Error("another line")
		count(`"msg":"push refused","listener":"push","cause":"forged"`, maxLines)
		count(`"msg":"too many lines of one kind; for a while they are left out","listener":"push","line":"push refused","written":3000`, 1)
		count(`"msg":"another line"`, 1)

		time.Sleep(lineWindow)
		refused.Warn("push refused", "cause", "padding")
		count(`"line":"push refused","left_out":50`, 1)
		count(`"cause":"padding"`, 1)
		for range 10 {
			time.Sleep(lineWindow)
			refused.Warn("push refused", "cause", "padding")
		}
		count(`"left_out"`, 1)
	})
}

// Lines that somebody has asked for are all written.
func TestLogger_WritesEachCall(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, config.Log{Level: "info", Format: "json"}, &slog.LevelVar{})
	for range maxLines + 50 {
		log.Info(proxy.AccessMessage)
	}
	if n := strings.Count(out.String(), `"msg":"call"`); n != maxLines+50 {
		t.Errorf("%d lines", n)
	}
}
