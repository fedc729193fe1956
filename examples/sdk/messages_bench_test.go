package sdk

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/msgcrypt"
	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// BenchmarkMessages measures verification, decryption, relay to an app and encryption of the
// reply: by the sidecar, and by a server of silenceper/wechat that relays to the same app. Both
// are processes of their own. Beside the time of a message it reports their CPU time and their
// allocations for one.
func BenchmarkMessages(b *testing.B) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(w, textReply("hello"))
	}))
	b.Cleanup(app.Close)
	b.Run("wxsidecar", func(b *testing.B) {
		s := startSidecar(b, programtest.Build(b), "events: [{url: "+app.URL+"}]")
		benchMessages(b, "http://"+s.address("push")+"/wechat/"+own+"/message", s.pid, func() int {
			found := regexp.MustCompile(`(?m)^go_memstats_mallocs_total (\S+)`).FindStringSubmatch(fetch(b, "http://"+s.address("metrics")+"/metrics"))
			n, err := strconv.ParseFloat(found[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return int(n)
		})
	})
	b.Run("silenceper", func(b *testing.B) {
		server := exec.Command(buildGo(b, "./messages"), "serve")
		program := startApp(b, server, []string{"APPID=" + own, "TOKEN=" + pushToken, "KEY=" + aesKey, "APP=" + app.URL})
		at := "http://" + <-program.lines
		benchMessages(b, at+"/", server.Process.Pid, func() int {
			n, err := strconv.Atoi(fetch(b, at+"/mallocs"))
			if err != nil {
				b.Fatal(err)
			}
			return n
		})
		program.end(b)
	})
}

func fetch(b *testing.B, url string) string {
	b.Helper()
	resp, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status, err)
	}
	return string(body)
}

// benchMessages pushes b.N messages to a server, eight at a time for each core. mallocs counts the
// allocations of its process.
func benchMessages(b *testing.B, to string, pid int, mallocs func() int) {
	b.Helper()
	codec, err := msgcrypt.New(pushToken, aesKey, own)
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var msgID atomic.Int64
	msgID.Store(time.Now().UnixNano()) // a server remembers what it got
	cpu, made := cpuTime(b, pid), mallocs()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := pushText(client, codec, to, userText(msgID.Add(1), "hello")); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b, pid)-cpu)/float64(b.N)/1e3, "cpu-µs/msg")
	b.ReportMetric(float64(mallocs()-made)/float64(b.N), "mallocs/msg")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func pushText(client *http.Client, codec *msgcrypt.Codec, to, plain string) error {
	e, err := codec.Seal([]byte(plain), strconv.FormatInt(time.Now().Unix(), 10), "1372623149")
	if err != nil {
		return err
	}
	query := "?timestamp=" + e.TimeStamp + "&nonce=" + e.Nonce + "&encrypt_type=aes&msg_signature=" + e.MsgSignature +
		"&signature=" + msgcrypt.Signature(pushToken, e.TimeStamp, e.Nonce, "")
	resp, err := client.Post(to+query, "text/xml", strings.NewReader(string(e.MessageXML("gh_1"))))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(reply), "MsgSignature>") {
		return fmt.Errorf("answer %s %s: %w", resp.Status, reply, err)
	}
	return nil
}

// cpuTime returns the CPU time of a process, which Linux counts in hundredths of a second.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	total := 0
	for _, ticks := range fields[11:13] {
		n, err := strconv.Atoi(ticks)
		if err != nil {
			b.Fatal(err)
		}
		total += n
	}
	return time.Duration(total) * 10 * time.Millisecond
}
