package proxy

import (
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// dateEvery is how often the Date of an answer is looked at: all calls say the same.
	dateEvery = 5 * time.Second
	// dateOff is by how much a Date may differ from what the broker takes for WeChat's time.
	dateOff = 10 * time.Second
)

// checkDate has WeChat asked what time it is where the Date of its answer to a call differs from
// what is taken for that. Tokens may all live for hours yet, and nothing else would show it.
func (s *Server) checkDate(h *fasthttp.ResponseHeader, began time.Time, took time.Duration) {
	now, next := began.Add(took).UnixNano(), s.nextDate.Load()
	if wait := next - now; 0 < wait && wait <= int64(dateEvery) { // longer: our clock was set back
		return
	}
	if !s.nextDate.CompareAndSwap(next, now+int64(dateEvery)) || len(h.Peek(fasthttp.HeaderAge)) > 0 {
		return // an answer out of a cache has the Date of its origin
	}
	date, err := http.ParseTime(string(h.Peek(fasthttp.HeaderDate)))
	if err == nil && s.source.Now().Sub(date).Abs() > dateOff+took {
		s.source.ProbeWeChat()
	}
}
