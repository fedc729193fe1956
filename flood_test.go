//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

const (
	floodComponent = "wx7f00c0de00000001"
	// The limits of resident memory are those of so many connections at once.
	floodFew, floodMany         = 600, 10_000
	floodFewMemory, floodMemory = 96 << 20, 160 << 20
	// floodSettled is how much more than before a flood may stay resident after it.
	floodSettled = 24 << 20
	// With so few files the program has room for half as many connections.
	floodFiles, floodOver = "2048", 2500
	// What is sent of a body of 1,048,000 bytes: all but the last thousand, or, of many
	// connections, what does not lie in the kernel alone.
	floodLong, floodShorter = 1_047_000, 100_000
)

// floodTarget is a push as somebody may send it who knows the appid: all but the
// signatures is right.
func floodTarget() string {
	return fmt.Sprintf("POST /wechat/%s/event?timestamp=%d&nonce=1&encrypt_type=aes&signature=x&msg_signature=%040d HTTP/1.1\r\n", floodComponent, time.Now().Unix(), 0)
}

// TestFlood_Memory sends floods at the push listener of the real program, pushes a
// ticket in the middle of each, and wants it taken in time, memory bounded, and
// everything given back after.
func TestFlood_Memory(t *testing.T) {
	const announced = "Host: x\r\nContent-Length: 1048000\r\n\r\n"
	const inChunks = "Host: x\r\nTransfer-Encoding: chunked\r\n\r\nff000\r\n"
	unsigned := "POST /wechat/" + floodComponent + "/event HTTP/1.1\r\n"
	f := startFlooded(t, "1048576")
	long := strings.Repeat("x", floodLong)
	f.flood("long bodies, unsigned", floodFew, floodFewMemory, unsigned+announced+long)
	f.flood("long bodies", floodFew, floodFewMemory, floodTarget()+announced+long)
	f.flood("long bodies in chunks", floodFew, floodFewMemory, floodTarget()+inChunks+long)
	f.flood("many long bodies", floodMany, floodMemory, floodTarget()+announced+long[:floodShorter])
	f.flood("many short bodies that stall", floodMany, floodMemory, floodTarget()+"Host: x\r\nContent-Length: 600\r\n\r\nx")
	f.flood("many heads that stall", floodMany, floodMemory, floodTarget()+"X-Long: "+long[:15<<10])
}

// TestFlood_Slots opens more connections than the program has room for.
func TestFlood_Slots(t *testing.T) {
	f := startFlooded(t, floodFiles)
	f.flood("connections that say nothing", floodOver, floodFewMemory, "")
	f.flood("cheap requests", floodOver, floodFewMemory, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	f.flood("pushes that are refused", floodOver, floodFewMemory, floodTarget()+"Host: x\r\nContent-Length: 1\r\n\r\nx")
}

// flooded is a program with its WeChat.
type flooded struct {
	t      *testing.T
	wechat *wechattest.Server
	pid    int
	push   string
	// memory and files are what the program used before any flood.
	memory int64
	files  int
}

// flood opens connections that each send the same text and then wait.
func (f *flooded) flood(name string, connections int, most int64, text string) {
	f.t.Run(name, func(t *testing.T) {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", f.pid), []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
		stop, sent := make(chan struct{}), make(chan error, connections)
		var all sync.WaitGroup
		for range connections {
			all.Go(func() { f.hold(text, sent, stop) })
		}
		var failed error
		for i := range connections {
			if i == connections/2 {
				f.ticket(t)
			}
			failed = errors.Join(failed, <-sent)
		}
		f.ticket(t)
		peak := memoryOf(t, f.pid, "VmHWM")
		close(stop)
		all.Wait()
		if failed != nil {
			t.Fatalf("the flood was smaller than meant: %v", failed)
		}
		t.Logf("resident at most %d MiB, before all %d MiB", peak>>20, f.memory>>20)
		if peak > most {
			t.Errorf("resident memory was at most %d MiB; want under %d", peak>>20, most>>20)
		}
		f.settle(t)
	})
}

// dialing keeps the kernel's queue of connections short: what it drops comes again
// after seconds.
var dialing = make(chan struct{}, 512)

// hold sends text on a connection and keeps that open until stop, whatever the answer.
func (f *flooded) hold(text string, sent chan<- error, stop <-chan struct{}) {
	dialing <- struct{}{}
	conn, err := net.Dial("tcp", f.push)
	<-dialing
	if err != nil {
		sent <- err
		return
	}
	defer func() { _ = conn.Close() }()
	// The program may have closed it; who is not read from gives up.
	_ = conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
	_ = conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.WriteString(conn, text)
	sent <- nil
	<-stop
}

// ticket pushes a ticket once and wants it accepted within WeChat's five seconds.
func (f *flooded) ticket(t *testing.T) {
	t.Helper()
	sealed, err := f.wechat.Seal(floodComponent, wechattest.Event{InfoType: wechattest.InfoTicket, Ticket: f.wechat.NewTicket(floodComponent)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	reply, err := f.wechat.Deliver(context.Background(), floodComponent, sealed)
	if err != nil || reply.Status != 200 || string(reply.Body) != "success" {
		t.Errorf("the ticket amid the flood: %d %q, %v, after %s", reply.Status, reply.Body, err, time.Since(began))
	}
}

// settle waits until the program has given back what a flood took.
func (f *flooded) settle(t *testing.T) {
	t.Helper()
	again, deadline := time.NewTicker(50*time.Millisecond), time.After(patience)
	defer again.Stop()
	for {
		memory, files := memoryOf(t, f.pid, "VmRSS"), filesOf(t, f.pid)
		if memory <= f.memory+floodSettled && files <= f.files {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("after the flood %d MiB and %d files; before it %d MiB and %d", memory>>20, files, f.memory>>20, f.files)
		}
	}
}

func filesOf(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// startFlooded starts a program that may open so many files, if the system lets it.
func startFlooded(t *testing.T, files string) *flooded {
	t.Helper()
	wechat := wechattest.New(wechattest.Options{})
	t.Cleanup(wechat.Close)
	c := wechattest.Component{AppID: floodComponent, Secret: scriptAppSecret, PushToken: scriptPushToken, EncodingAESKey: scriptAESKey}
	wechat.AddComponent(c)
	f := &flooded{t: t, wechat: wechat}
	binary, dir := buildProgram(t)
	cmd := exec.Command("sh", "-c", `ulimit -n "$1" 2>/dev/null; exec "$0" serve`, binary, files)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "WXSIDECAR_LOG_FORMAT=json",
		"WXSIDECAR_COMPONENT_APPID="+c.AppID, "WXSIDECAR_COMPONENT_SECRET="+c.Secret,
		"WXSIDECAR_COMPONENT_PUSH_TOKEN="+c.PushToken, "WXSIDECAR_COMPONENT_ENCODING_AES_KEY="+c.EncodingAESKey,
		"WXSIDECAR_LISTEN_APPS=off", "WXSIDECAR_LISTEN_PUSH=127.0.0.1:0",
		"WXSIDECAR_LISTEN_METRICS=off", "WXSIDECAR_LISTEN_ADMIN=off", "WXSIDECAR_UPSTREAM_URL="+wechat.Start())
	f.pid, f.push = startCommand(t, cmd, "push")
	c.PushURL = "http://" + f.push + "/wechat/" + c.AppID + "/event"
	wechat.AddComponent(c)
	f.ticket(t)
	// The connection of the simulator's pushes stays open.
	f.memory, f.files = memoryOf(t, f.pid, "VmRSS"), filesOf(t, f.pid)+1
	return f
}
