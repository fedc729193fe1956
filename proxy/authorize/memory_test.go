package authorize

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func addressOf(i int) netip.Prefix {
	return network(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i)))))
}

// However many addresses come, few are remembered, and one that has used up its burst is
// not forgotten for others that have not.
func TestLimiter_Memory(t *testing.T) {
	l, now := newLimits().addresses, time.Unix(1_800_000_000, 0)
	greedy := addressOf(0)
	for range addressBurst {
		if wait := l.take(greedy, now); wait != 0 {
			t.Fatalf("wait %s within the burst", wait)
		}
	}
	for i := range maxAddresses - 1 {
		l.take(addressOf(i+1), now.Add(-addressEvery)) // free again by now
	}
	l.take(addressOf(maxAddresses), now)
	if wait := l.take(greedy, now); wait == 0 || len(l.free) != 2 {
		t.Errorf("wait %s for the one that has used up its burst; %d addresses are remembered", wait, len(l.free))
	}
	for i := range 3 * maxAddresses {
		l.take(addressOf(i), now)
		if len(l.free) > maxAddresses {
			t.Fatalf("%d addresses are remembered", len(l.free))
		}
	}
}

// A spent state is remembered until its end, and no longer.
func TestStates_Memory(t *testing.T) {
	s, now := newStates([][]byte{{1}}), time.Unix(1_800_000_000, 0)
	browser := newBrowser()
	verified := func(expires time.Time) verified {
		t.Helper()
		v, err := s.verify("wx", browser, s.issue("wx", browser, Request{}, expires), now)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	late := verified(now.Add(time.Hour))
	if err := s.spend(late, "code", now); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		end := now.Add(time.Minute)
		for range 500 {
			if err := s.spend(verified(end), "code", now); err != nil {
				t.Fatal(err)
			}
		}
		now = end
	}
	if len(s.spent) > 2000 {
		t.Errorf("%d states are remembered, of which 500 may still come", len(s.spent))
	}
	if err := s.spend(late, "another", now); !errors.Is(err, errUsed) {
		t.Errorf("another code for a spent state: %v", err)
	}
}
