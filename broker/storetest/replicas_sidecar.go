package storetest

import (
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// sidecar is one of those that share the store, as far as one record goes.
type sidecar struct {
	*trial
	view int // of World.Views

	known   store.Record // the latest that the store acknowledged or showed
	seen    uint64       // the greatest fence
	lease   store.Lease  // may have ended
	base    *store.Record
	unsaved *unsaved
}

// unsaved is a write that is to be made.
type unsaved struct {
	store.Write
	renewal int // how often the store had lost something then; -1 for an amendment or a repair
}

func (s *sidecar) save(base, r store.Record, renewal int) {
	s.unsaved = &unsaved{store.Write{Name: s.name, Base: base.Version(), Record: r}, renewal}
}

func (s *sidecar) shared() store.Shared { return s.world.Views[s.view] }

var errNetwork = errors.New("the network failed")

// fates of a request.
const (
	arrives = iota
	requestLost
	answerLost
	comesLate
)

// request sends one, and says what its sender hears of it: nil for an answer. Late is what
// happens if it arrives when nobody waits any more; nil: it is not late.
func (s *sidecar) request(send, late func()) error {
	fate := arrives
	if !s.healed {
		fate = rapid.SampledFrom([]int{arrives, arrives, arrives, arrives, arrives, requestLost, answerLost, comesLate}).Draw(s.T, "fate")
	}
	switch {
	case fate == comesLate && late != nil:
		s.late = append(s.late, late)
		return errNetwork
	case fate == arrives || fate == comesLate:
		send()
		return nil
	case s.world.Lose != nil:
		defer s.world.Lose(s.view, fate == answerLost)()
		send()
		return nil
	case fate == answerLost:
		send()
	}
	return errNetwork
}

func (s *sidecar) lock() {
	o := store.LeaseOptions{For: s.world.LeaseLife, Fence: s.seen, Generation: s.known.Generation}
	view, lock := s.view, s.shared().Lock
	var lease store.Lease
	var answer error
	send := func() {
		if lease, answer = lock(s.test.Context(), s.name, o); answer != nil {
			s.truth.notLocked(s.trial, view, o, answer)
			return
		}
		s.truth.locked(s.trial, view, o, lease.Fence())
	}
	failed := s.request(send, send)
	if failed != nil || answer != nil {
		if answer != nil && !expected(answer) {
			s.truth.holder = unknown // what was lost may have been done
		}
		return
	}
	s.lease, s.seen, s.base = lease, max(s.seen, lease.Fence()), nil
}

// expected reports whether an error is an answer of the store's.
func expected(err error) bool {
	var held *store.HeldError
	return errors.As(err, &held) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLost)
}

// lockAndRenew is what goes well most of the time.
func (s *sidecar) lockAndRenew() {
	s.lock()
	if s.lease != nil {
		s.read()
		s.renew()
	}
}

// read reads the record, takes over what is newer, and has what is older repaired.
func (s *sidecar) read() {
	var got store.Record
	var err error
	if s.request(func() { got, err = s.shared().Get(s.test.Context(), s.name) }, nil) != nil || err != nil && !errors.Is(err, store.ErrNotFound) {
		return
	}
	if later(s.known, got) {
		if s.unsaved == nil {
			s.save(got, s.known, -1)
		}
		return
	}
	if s.unsaved != nil && s.unsaved.Base != got.Version() && show(s.unsaved.Record) != show(got) {
		s.unsaved = nil // it was overtaken, even if the store should lose what overtook it
	}
	s.known, s.base, s.seen = got, &got, max(s.seen, got.Fence)
}

// renew calls WeChat, however long ago the lease was got.
func (s *sidecar) renew() {
	if s.lease == nil || s.base == nil || s.unsaved != nil {
		return
	}
	s.wechat++
	token := fmt.Appendf(nil, "token %d", s.wechat)
	s.save(*s.base, store.Record{Generation: s.base.Generation + 1, Fence: s.lease.Fence(), Sealed: token}, s.truth.losses)
}

// amend changes what is kept beside the token.
func (s *sidecar) amend() {
	if s.base == nil || s.unsaved != nil || s.base.Generation == 0 {
		return
	}
	s.wechat++
	r := *s.base
	r.Sealed = fmt.Appendf(nil, "%s, note %d", tokenOf(r), s.wechat)
	s.save(*s.base, r, -1)
}

// put writes what is unsaved. It is written again until there is an answer.
func (s *sidecar) put() {
	if s.unsaved == nil {
		return
	}
	w, put := *s.unsaved, s.shared().Put
	var answer error
	send := func() {
		before := s.truth.stored
		answer = put(s.test.Context(), w.Write)
		s.look()
		s.truth.put(s.trial, w, before, answer)
	}
	failed := s.request(send, send)
	switch {
	case failed != nil:
	case answer == nil:
		s.known, s.base, s.unsaved = w.Record, &w.Record, nil
	case errors.Is(answer, store.ErrConflict):
		s.base, s.unsaved = nil, nil
	}
}

func (s *sidecar) extend() {
	if s.lease == nil {
		return
	}
	var answer error
	failed := s.request(func() {
		answer = s.lease.Extend(s.test.Context())
		s.truth.extended(s.trial, s.view, s.lease.Fence(), answer)
	}, nil)
	if failed == nil && answer != nil && !expected(answer) {
		s.truth.holder = unknown
	}
	if failed == nil && errors.Is(answer, store.ErrLost) {
		s.lease = nil
	}
}

func (s *sidecar) unlock() {
	if s.lease == nil {
		return
	}
	lease := s.lease
	_ = s.request(func() { // there is no answer
		lease.Unlock()
		s.truth.unlocked(s.view, lease.Fence(), s.world.Lose != nil)
	}, nil)
	s.lease = nil
}

// startAgain is a crash: nothing is left in memory, and the lease belongs to nobody who knows it.
func (s *sidecar) startAgain() {
	next := s.view + sidecars
	if next >= len(s.world.Views)-1 {
		return
	}
	*s = sidecar{trial: s.trial, view: next}
}
