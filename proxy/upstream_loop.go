package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/wxsidecar/wxsidecar/proxy/dial"
)

// CheckLoop looks the upstream's hosts up and returns an error that wraps
// [dial.ErrLoop] if one of them is this process. A name that cannot be looked up yet
// is no error: the same is checked at each connection. It blocks for a few
// seconds at most.
func (s *Server) CheckLoop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loopWait)
	defer cancel()
	for _, h := range s.upstream.hosts {
		if err := h.dialer.CheckLoop(ctx); err != nil {
			return err
		}
	}
	return nil
}

const loopWait = 3 * time.Second

// refuseOurselves has handshakes with hosts fail whose certificate is of the authority
// that end has its own from: at the end of the way is the sidecar, or another replica
// of it. The addresses do not show that where a proxy makes the connection.
func refuseOurselves(hosts []*host, end *tls.Config) {
	if end == nil || end.GetCertificate == nil {
		return
	}
	for _, h := range hosts {
		if h.tls == nil {
			continue
		}
		h.tls.VerifyConnection = func(peer tls.ConnectionState) error {
			ours, err := end.GetCertificate(&tls.ClientHelloInfo{ServerName: peer.ServerName})
			if err != nil || ours.Leaf == nil {
				return nil //nolint:nilerr // not a name that we answer for
			}
			if key := ours.Leaf.AuthorityKeyId; len(key) > 0 && bytes.Equal(peer.PeerCertificates[0].AuthorityKeyId, key) {
				return fmt.Errorf("the way to %s leads back: its certificate is the sidecar's: %w", peer.ServerName, dial.ErrLoop)
			}
			return nil
		}
	}
}
