package proxy

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/secret"
	"github.com/wxsidecar/wxsidecar/proxy/routes"
)

// What the stages of a call cost, each alone. Those of other packages: BenchmarkMatch
// (proxy/routes), BenchmarkToken_Hit (broker), BenchmarkHistogram (metrics). The look at a
// kept connection is BenchmarkUsable.

func BenchmarkStage_ReadHead(b *testing.B) {
	_, raw, _ := bytes.Cut(getRequest(), []byte("\r\n"))
	var dst []byte
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		var f *fault
		if dst, _, f = readHead(dst[:0], raw); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkStage_ScanQuery(b *testing.B) {
	query := []byte("lang=zh_CN&next_openid=&access_token=placeholder")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, f := scanQuery(query); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkStage_Identify(b *testing.B) {
	s, _ := fakeServer(b, Options{})
	r := s.newRequest(newAppConn(&fakeUpstream{}, time.Now, false))
	r.route, r.appid = s.table.Match([]byte("/cgi-bin/message/custom/send")), []byte(merchant)
	if f := s.acquireAccount(r, merchant); f != nil {
		b.Fatal(f)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if f := s.identify(r); f != nil {
			b.Fatal(f)
		}
		if _, f := s.callToken(r); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkStage_Inject(b *testing.B) {
	value := secret.New(strings.Repeat("aB3-_", 31))
	tok := broker.NewToken(broker.Key{}, value, 1, time.Time{}, time.Time{})
	r := &request{requestHead: requestHead{query: []byte("lang=zh_CN&access_token=placeholder")}}
	r.params.present, r.cred = hasAccessToken, credential{param: routes.AccessToken, drop: hasAccessToken}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		r.inject(tok)
	}
}

// BenchmarkStage_AnswerHead reads the head of an answer, which is fasthttp's part, and
// strips it.
func BenchmarkStage_AnswerHead(b *testing.B) {
	var h fasthttp.ResponseHeader
	var not injected
	not.token = bytes.Repeat([]byte("t"), 157)
	text := strings.NewReader("")
	br := bufio.NewReader(text)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		text.Reset(upstreamAnswer)
		br.Reset(text)
		if err := h.Read(br); err != nil {
			b.Fatal(err)
		}
		stripHead(&h, &not)
	}
}

// BenchmarkStage_Deadlines is what a call sets on its app's connection and on WeChat's.
func BenchmarkStage_Deadlines(b *testing.B) {
	app := &appConn{Conn: &fakeUpstream{}}
	up := newConn(&fakeUpstream{}, &host{}, time.Now, 0)
	now := time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		now = now.Add(10 * time.Microsecond)
		app.rest(now, keepAlive)
		_, _ = app.Write(nil)
		_, _ = app.Read(nil)
		_ = up.setHeadDeadline(now, DefaultTimeout)
	}
}

// BenchmarkStage_Finish begins a call, and counts and ends it.
func BenchmarkStage_Finish(b *testing.B) {
	s, app := benchServer(b), newAppConn(&fakeUpstream{}, time.Now, false)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		r := s.newRequest(app)
		r.outside = time.Microsecond
		s.finish(r)
	}
}
