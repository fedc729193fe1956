package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/wxsidecar/wxsidecar/broker/store"
)

// Announce implements [store.Presence].
func (s *Store) Announce(ctx context.Context) (self string, others []store.Peer, err error) {
	answer, err := s.do(ctx, announceScript, []string{s.keys.peers}, []string{s.writer, milliseconds(store.PeersFor), strconv.Itoa(store.MostPeers)})
	if err != nil {
		return s.writer, nil, fmt.Errorf("announce this sidecar: %w", err)
	}
	said, err := answer.AsStrSlice()
	if err != nil || len(said)%2 != 0 {
		return s.writer, nil, fmt.Errorf("announce this sidecar: %w", cmp.Or(err, errOddAnswer))
	}
	for i := 0; i < len(said); i += 2 {
		ago, err := strconv.ParseInt(said[i+1], 10, 64)
		if err != nil {
			return s.writer, nil, fmt.Errorf("announce this sidecar: %w", err)
		}
		others = append(others, store.Peer{Name: said[i], Ago: time.Duration(ago) * time.Millisecond})
	}
	return s.writer, others, nil
}
