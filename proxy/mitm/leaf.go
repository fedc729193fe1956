package mitm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// A leaf lives in memory only, so a short life costs nothing. What is left of
	// it when it is renewed is longer than any connection lasts.
	leafLife  = 30 * 24 * time.Hour
	leafRenew = 10 * 24 * time.Hour
	// maxLeaves is more than WeChat has API hosts; names come from clients.
	maxLeaves = 64
)

// errOutsideDomain is what a name outside domain is refused with: a client would not
// take a leaf for it.
var errOutsideDomain = errors.New("not a name of " + domain)

type leaf struct {
	cert *tls.Certificate
	due  time.Time
}

// TLSConfig returns the configuration of a server that answers for any name of
// weixin.qq.com, or below it, that a client asks for by SNI, and for fallback where it
// asks for none. It offers HTTP/1.1 only. The configuration is the caller's.
func (a *Authority) TLSConfig(fallback string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "" {
				return a.leafFor(fallback)
			}
			return a.leafFor(hello.ServerName)
		},
	}
}

// leafFor returns the certificate for host, which must be domain or below it; any
// other name is errForeign. It is made at the first call, and again before it
// ends; callers must not change it.
func (a *Authority) leafFor(host string) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name != domain && !strings.HasSuffix(name, "."+domain) || !validName(name) {
		return nil, fmt.Errorf("certificate for %q: %w", host, errOutsideDomain)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if l := a.leaves[name]; l != nil && now.Before(l.due) {
		return l.cert, nil
	}
	l, err := a.issue(name, now)
	if err != nil {
		return nil, fmt.Errorf("certificate for %q: %w", host, err)
	}
	if len(a.leaves) >= maxLeaves {
		clear(a.leaves) // they cost a fraction of a millisecond each
	}
	a.leaves[name] = l
	return l.cert, nil
}

// validName reports whether name is a plain DNS name.
func validName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

func (a *Authority) issue(name string, now time.Time) (*leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"wxsidecar"}},
		NotBefore:   later(now.Add(-slack), a.cert.NotBefore),
		NotAfter:    earlier(now.Add(leafLife), a.cert.NotAfter),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{name},
		// The flag of an end entity, which some clients want to see.
		BasicConstraintsValid: true,
	}
	der, err := sign(template, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}
	return &leaf{cert: cert, due: template.NotAfter.Add(-leafRenew)}, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
