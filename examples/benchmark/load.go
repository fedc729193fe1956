package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	bigBody = 10 << 20
	// message is what the upstream answers unless it is asked for a file.
	message = `{"errcode":0,"errmsg":"ok","msgid":1234567890}`
)

// load is one kind of call.
type load struct {
	name, title, method, path string
	sent, received            int // bytes of the bodies
}

var allLoads = []load{
	{"get", "GET", "GET", "/cgi-bin/menu/get", 0, len(message)},
	{"post", "POST 1 KiB", "POST", "/cgi-bin/message/custom/send", 1 << 10, len(message)},
	{"upload", "Upload 10 MiB", "POST", "/cgi-bin/media/upload", bigBody, len(message)},
	{"download", "Download 10 MiB", "GET", "/cgi-bin/media/get", 0, bigBody},
}

func (l load) big() bool { return l.sent == bigBody || l.received == bigBody }

// appendHead appends the head of a call for an account to b.
func (c *contender) appendHead(b []byte, l load, account int) []byte {
	b = append(append(append(b, l.method...), ' '), l.path...)
	b = append(b, "?lang=zh_CN"...)
	if c.tokens != nil {
		b = append(append(b, "&access_token="...), c.tokens[account]...)
	}
	b = append(append(b, " HTTP/1.1\r\nUser-Agent: benchmark\r\nAccept: */*\r\nHost: "...), c.address...)
	if c.tokens == nil {
		b = append(append(b, "\r\nX-Wechat-Appid: "...), appID(account)...)
	}
	if l.sent > 0 {
		b = strconv.AppendInt(append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...), int64(l.sent), 10)
	}
	return append(b, "\r\n\r\n"...)
}

// sample is one measurement.
type sample struct {
	perSecond float64
	cpu       time.Duration // of one call
	p50, p99  time.Duration
	peak      int64 // bytes
}

// measure puts a load on a contender. Connections, and those to the upstream, are there
// before it begins to count.
func measure(ctx context.Context, c *contender, l load, conns int, length time.Duration) (s sample, err error) {
	if err := resetPeak(c.pid); err != nil {
		return s, err
	}
	clients, err := dialAll(ctx, c, l, conns)
	defer closeAll(clients)
	if err != nil {
		return s, err
	}
	before, began := spent(c.pid), time.Now()
	took, err := callUntil(ctx, clients, l, began.Add(length))
	elapsed, after := time.Since(began), spent(c.pid)
	if err != nil {
		return s, err
	}
	slices.Sort(took)
	n := len(took)
	return sample{
		perSecond: float64(n) / elapsed.Seconds(), cpu: (after - before) / time.Duration(n),
		p50: took[(n-1)/2], p99: took[(n-1)*99/100], peak: peak(c.pid),
	}, nil
}

func dialAll(ctx context.Context, c *contender, l load, conns int) ([]*client, error) {
	clients := make([]*client, conns)
	return clients, parallel(conns, func(i int) (err error) {
		if clients[i], err = dial(ctx, c); err == nil {
			_, err = clients[i].call(l, i%c.accounts)
		}
		return err
	})
}

func closeAll(clients []*client) {
	for _, c := range clients {
		if c != nil {
			c.close()
		}
	}
}

// callUntil has every client make one call after the other until end, at least one, and
// returns how long each took.
func callUntil(ctx context.Context, clients []*client, l load, end time.Time) ([]time.Duration, error) {
	took := make([][]time.Duration, len(clients))
	err := parallel(len(clients), func(i int) error {
		// A stride that is prime has each client meet all accounts.
		for account := i; len(took[i]) == 0 || time.Now().Before(end); account += 7919 {
			one, err := clients[i].call(l, account%clients[i].to.accounts)
			if err = errors.Join(ctx.Err(), err); err != nil {
				return err
			}
			took[i] = append(took[i], one)
		}
		return nil
	})
	return slices.Concat(took...), err
}

// callEach makes one call for each account.
func callEach(ctx context.Context, c *contender) error {
	const conns = 64
	clients, err := dialAll(ctx, c, allLoads[0], conns)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	return parallel(conns, func(i int) error {
		for account := i; account < c.accounts; account += conns {
			if _, err := clients[i].call(allLoads[0], account); err != nil {
				return errors.Join(ctx.Err(), err)
			}
		}
		return nil
	})
}

// parallel runs f n times at once, and returns the first error.
func parallel(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	failed := make(chan error, n)
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}
