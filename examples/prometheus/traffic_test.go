package prometheus

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// get returns the status of a page; 0 for no answer.
func (s *sidecar) get(port int, path string) int {
	resp, err := s.client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// call makes a call of an app, for the caller with that key. What comes back is for the metrics
// to count.
func (s *sidecar) call(key, method, path, appID string) {
	req, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d%s", s.ports.apps, path), strings.NewReader(`{"x":"y"}`))
	if err != nil {
		s.t.Error(err)
		return
	}
	if method == http.MethodGet {
		req.Body, req.ContentLength = nil, 0
	}
	req.Header.Set("X-Wxsidecar-Key", key)
	req.Header.Set("X-Wechat-Appid", appID)
	resp, err := s.client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// keep runs f again and again, until the test ends or rest is called.
func (s *sidecar) keep(every time.Duration, f func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			f()
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	s.stops = append(s.stops, func() { cancel(); <-done })
	s.t.Cleanup(s.rest)
}

// rest ends what keep began.
func (s *sidecar) rest() {
	for _, stop := range s.stops {
		stop()
	}
	s.stops = nil
}

// pushes has WeChat push tickets, as it does.
func (s *sidecar) pushes() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.sim.RunPushes(ctx)
	}()
	stop = func() { cancel(); <-done }
	s.t.Cleanup(stop)
	return stop
}
