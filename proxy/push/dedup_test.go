package push

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var (
	zero  = time.Unix(1_800_000_000, 0)
	later = zero.Add(10 * time.Minute)
)

func succeed(context.Context) ([]byte, error) { return nil, nil }

func must(t *testing.T, m *dedup, id string, now, until time.Time, want outcome) {
	t.Helper()
	if got, _, err := m.do(context.Background(), id, now, until, succeed); got != want || err != nil {
		t.Errorf("do(%s) = %v, %v; want %v", id, got, err, want)
	}
}

func TestDedup_RemembersUntil(t *testing.T) {
	m := newDedup(10, 100, nil)
	must(t, m, "a", zero, later, handled)
	must(t, m, "a", later, later, repeated)
	must(t, m, "a", later.Add(time.Second), later, handled)
	must(t, m, "b", later, later.Add(time.Minute), handled)
	must(t, m, "b", later, zero, repeated) // an older copy shortens nothing
	must(t, m, "b", later.Add(time.Minute), zero, repeated)
}

func TestDedup_IsBounded(t *testing.T) {
	m := newDedup(100, 100, nil)
	for i := range 1000 {
		must(t, m, fmt.Sprint(i), zero, later, handled)
	}
	if n := m.size(); n != 100 {
		t.Errorf("%d pushes remembered; want 100", n)
	}
	must(t, m, "999", zero, later, repeated)
	must(t, m, "0", zero, later, handled)
	must(t, m, "new", later.Add(time.Second), later.Add(time.Hour), handled)
	if n := m.size(); n != 1 {
		t.Errorf("%d pushes remembered after the window; want 1", n)
	}
}

// A repeat gets the first reply, and replies take no more than their bytes.
func TestDedup_Replies(t *testing.T) {
	m := newDedup(10, 8, nil)
	reply := func(id, text string) (outcome, string) {
		t.Helper()
		how, got, err := m.do(context.Background(), id, zero, later, func(context.Context) ([]byte, error) { return []byte(text), nil })
		if err != nil {
			t.Fatal(err)
		}
		return how, string(got)
	}
	f := func(id, text string, want outcome, wantReply string) {
		t.Helper()
		if how, got := reply(id, text); how != want || got != wantReply {
			t.Errorf("%s: %v %q; want %v %q", id, how, got, want, wantReply)
		}
	}
	f("a", "first", handled, "first")
	f("a", "second", repeated, "first")
	f("b", "", handled, "")
	f("b", "second", repeated, "")
	f("c", "1234", handled, "1234") // drops a, the oldest
	f("b", "second", repeated, "")
	f("c", "second", repeated, "1234")
	f("a", "1234", handled, "1234")
	f("d", "longer than all", handled, "longer than all")
	if m.size() != 0 || m.bytes != 0 {
		t.Errorf("%d pushes and %d bytes remembered; want none", m.size(), m.bytes)
	}
}

func TestDedup_FailureIsForgotten(t *testing.T) {
	m := newDedup(10, 100, nil)
	fault := errors.New("x")
	if _, _, err := m.do(context.Background(), "a", zero, later, func(context.Context) ([]byte, error) { return nil, fault }); !errors.Is(err, fault) {
		t.Errorf("do: %v", err)
	}
	must(t, m, "a", zero, later, handled)
}

func TestDedup_CopiesShareTheOutcome(t *testing.T) {
	for _, want := range []error{nil, errors.New("x")} {
		synctest.Test(t, func(t *testing.T) {
			m := newDedup(10, 100, nil)
			release := make(chan struct{})
			calls := 0
			handle := func(context.Context) ([]byte, error) {
				calls++
				<-release
				return []byte("reply"), want
			}
			var outcomes [5]outcome
			for i := range outcomes {
				go func() {
					how, reply, err := m.do(t.Context(), "a", zero, later, handle)
					if !errors.Is(err, want) || string(reply) != "reply" {
						t.Errorf("copy %d: %q, %v; want %v", i, reply, err, want)
					}
					outcomes[i] = how
				}()
				synctest.Wait()
			}
			close(release)
			synctest.Wait()
			if calls != 1 || outcomes != [5]outcome{handled, shared, shared, shared, shared} {
				t.Errorf("%d calls, outcomes %v", calls, outcomes)
			}
		})
	}
}

func TestDedup_WaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newDedup(10, 100, nil)
		release := make(chan struct{})
		go func() {
			_, _, _ = m.do(t.Context(), "a", zero, later, func(context.Context) ([]byte, error) { <-release; return nil, nil })
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if how, _, err := m.do(ctx, "a", zero, later, succeed); how != shared || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("do = %v, %v", how, err)
		}
		close(release)
	})
}

func TestDedup_PanicFailsTheCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newDedup(10, 100, nil)
		release := make(chan struct{})
		go func() {
			defer func() { _ = recover() }()
			_, _, _ = m.do(t.Context(), "a", zero, later, func(context.Context) ([]byte, error) { <-release; panic("x") })
		}()
		synctest.Wait()
		go func() {
			if _, _, err := m.do(t.Context(), "a", zero, later, succeed); !errors.Is(err, errAbandoned) {
				t.Errorf("the copy of a push whose handler panicked: %v", err)
			}
		}()
		synctest.Wait()
		close(release)
		synctest.Wait()
		must(t, m, "a", zero, later, handled)
	})
}

// size returns how many pushes are remembered.
func (m *dedup) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known)
}
