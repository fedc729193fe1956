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
// is no error, as each connection is checked again. It blocks for up to
// three seconds.
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

// rejectOwnCertificate makes handshakes with hosts fail if the host's certificate was
// issued by our own authority, that of own: the connection then leads to this sidecar or
// to a replica of it. Behind a proxy the addresses do not show that.
func rejectOwnCertificate(hosts []*host, own *tls.Config) {
	if own == nil || own.GetCertificate == nil {
		return
	}
	for _, h := range hosts {
		if h.tls == nil {
			continue
		}
		h.tls.VerifyConnection = func(peer tls.ConnectionState) error {
			ours, err := own.GetCertificate(&tls.ClientHelloInfo{ServerName: peer.ServerName})
			if err != nil || ours.Leaf == nil {
				return nil //nolint:nilerr // not a name that we answer for
			}
			if key := ours.Leaf.AuthorityKeyId; len(key) > 0 && bytes.Equal(peer.PeerCertificates[0].AuthorityKeyId, key) {
				return fmt.Errorf("the connection to %s leads back: its certificate is the sidecar's: %w", peer.ServerName, dial.ErrLoop)
			}
			return nil
		}
	}
}
