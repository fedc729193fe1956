package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
	"github.com/wxsidecar/wxsidecar/broker/memstore"
	"github.com/wxsidecar/wxsidecar/broker/wechat/wechattest"
)

// week is a long time in a world, with an own account and tickets for pages.
type week struct {
	*world
	model
	dice   *rand.Rand
	disk   *disk
	tasks  []task // what is to be done later
	agenda agenda
}

// task is done at its time, and again each minute until it returns true.
type task struct {
	at time.Time
	do func() bool
}

const weekMerchants = 200

// inWeek runs f in a bubble with everything alive.
func inWeek(t *testing.T, seed uint64, o worldOptions, f func(w *week)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &week{dice: rand.New(rand.NewPCG(seed, 0)), disk: &disk{}}
		jitter := lockedRand(seed)
		o.merchants, o.own, o.sim.Seed = weekMerchants, true, seed
		o.store = memstore.New(memstore.Options{Wait: w.disk.wait})
		o.adjust = func(o *broker.Options) { o.Rand = jitter }
		w.world = newWorld(t, o)
		w.start()
		defer func() { w.halt() }()
		w.ticket()
		pass(time.Second)
		w.enrol(platformKey)
		w.enrol(ownKey)
		w.enrol(broker.Key{Kind: broker.KindJSAPITicket, AppID: ownID})
		for i := range weekMerchants {
			w.enrol(authorizerKey(merchant(i)))
		}
		for i := range 20 {
			w.enrol(broker.Key{Kind: broker.KindJSAPITicket, AppID: merchant(i), Component: componentID})
		}
		w.callAll()
		f(w)
		w.checkWeek()
		if path := os.Getenv("WXSIDECAR_LOG"); path != "" && t.Failed() {
			_ = os.WriteFile(path, []byte(w.logs.String()), 0o600)
		}
	})
}

func (w *week) enrol(key broker.Key) *subject {
	s := &subject{key: key}
	w.subjects = append(w.subjects, s)
	return s
}

func lockedRand(seed uint64) func() float64 {
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return dice.Float64()
	}
}

// disk is what the store stands on. (It is never slow here: the broker holds a
// key's lock while it waits for the store, and a bubble's time stands still while
// anybody waits for a lock.)
type disk struct{ down atomic.Bool }

var errDisk = errors.New("no space left on device")

func (d *disk) wait(context.Context) error {
	if d.down.Load() {
		return errDisk
	}
	return nil
}

// callOf makes one call of an app and returns an error if it should have gone well.
func (w *week) callOf(s *subject) error {
	start := time.Now()
	code, err := 0, error(nil)
	if s.key.Kind.IsTicket() {
		_, err = w.broker.Token(context.Background(), s.key)
	} else {
		code, err = w.call(s.key)
	}
	return w.took(s, start, code, err)
}

// callAll calls each once; none may fail.
func (w *week) callAll() {
	w.t.Helper()
	for _, s := range w.subjects {
		if err := w.callOf(s); err != nil {
			w.t.Fatal(err)
		}
	}
}

// callSome makes some calls at once, a few of them for the same account.
func (w *week) callSome(n int) {
	var all sync.WaitGroup
	for range n {
		s := w.subjects[w.dice.IntN(len(w.subjects))]
		if w.dice.IntN(2) == 0 {
			s = w.subjects[w.dice.IntN(40)] // of those that are always busy
		}
		for range 1 + max(0, w.dice.IntN(20)-16) {
			all.Go(func() {
				if err := w.callOf(s); err != nil {
					w.t.Error(err)
				}
			})
		}
	}
	all.Wait()
}

// later has do done after d.
func (w *week) later(d time.Duration, do func() bool) {
	w.tasks = append(w.tasks, task{time.Now().Add(d), do})
}

func (w *week) doTasks() {
	now, due := time.Now(), w.tasks
	w.tasks = nil
	for _, t := range due {
		switch {
		case t.at.After(now):
			w.tasks = append(w.tasks, t)
		case !t.do():
			w.later(time.Minute, t.do)
		}
	}
}

// checkWeek is the end: nothing that WeChat should never have seen, and no secret
// in the log.
func (w *week) checkWeek() {
	for _, v := range w.sim.Violations() {
		w.t.Errorf("WeChat saw what it never should: %s", v)
	}
	secrets := map[string]bool{}
	for _, s := range w.sim.Secrets() {
		secrets[s] = true
	}
	words := strings.FieldsFunc(w.logs.String(), func(r rune) bool { return strings.ContainsRune(" \n\"'&?=:,\\", r) })
	for _, word := range words {
		if secrets[word] {
			w.t.Errorf("a secret of %d characters stands in the log", len(word))
		}
	}
}

// seeds returns the seeds to be tried, one and up, or the one that WXSIDECAR_SEED names.
func seeds(t *testing.T, short, long int) []uint64 {
	if text := os.Getenv("WXSIDECAR_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	n := short
	if nightly() {
		n = long
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = uint64(i + 1)
	}
	return all
}

func howLong() time.Duration {
	if nightly() {
		return 7 * 24 * time.Hour
	}
	return 30 * time.Hour
}

func TestWeek_NoCallFailsThatAFreshTokenWouldHaveCured(t *testing.T) {
	for _, seed := range seeds(t, 3, 24) {
		t.Run(fmt.Sprintf("WXSIDECAR_SEED=%d", seed), func(t *testing.T) {
			o := worldOptions{sim: wechattest.Options{RotateRefreshTokens: true, KeepRequests: 1}}
			inWeek(t, seed, o, func(w *week) {
				w.second()
				for end := time.Now().Add(howLong()); time.Now().Before(end) && !t.Failed(); {
					pass(time.Duration(10+w.dice.IntN(100)) * time.Second)
					w.doTasks()
					w.misfortune()
					w.callSome(4)
					w.wantNoOrphans()
				}
			})
		})
	}
}

// wantNoOrphans checks that the cache knows no entry but those in use: another
// would be served and never be renewed.
func (w *week) wantNoOrphans() {
	synctest.Wait()
	for _, s := range w.subjects {
		if w.broker.Orphan(s.key) {
			w.t.Errorf("%s at %s: the cache holds an entry that is not in use", s.key, clockOf(time.Now()))
		}
	}
}
