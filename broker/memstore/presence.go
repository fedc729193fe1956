package memstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// seen is a sidecar, and when it announced itself last.
type seen struct {
	name string
	at   time.Time
}

// Announce implements [store.Presence].
func (s *Shared) Announce(ctx context.Context) (self string, others []store.Peer, err error) {
	if err := s.begin(ctx); err != nil {
		return s.watch.name, nil, fmt.Errorf("announce %s: %w", s.watch.name, err)
	}
	return s.watch.name, s.data.announce(s.watch.name), nil
}

// announce keeps who announced itself in the order of time.
func (d *data) announce(self string) (others []store.Peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	d.peers = slices.DeleteFunc(d.peers, func(p seen) bool { return p.name == self || now.Sub(p.at) > store.PeersFor })
	d.peers = d.peers[max(0, len(d.peers)-store.MostPeers):]
	for _, p := range d.peers {
		others = append(others, store.Peer{Name: p.name, Ago: max(0, now.Sub(p.at))})
	}
	d.peers = append(d.peers, seen{self, now})
	return others
}
