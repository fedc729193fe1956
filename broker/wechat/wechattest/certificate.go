package wechattest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// Certificate says which certificate the TLS listener shows.
type Certificate string

// The certificates.
const (
	CertGood      Certificate = ""
	CertExpired   Certificate = "expired"
	CertWrongName Certificate = "wrong-name"
	// CertUnknownCA is signed by a CA that nobody trusts.
	CertUnknownCA Certificate = "unknown-ca"
)

// apiHosts are the hosts of WeChat's API.
var apiHosts = []string{
	"api.weixin.qq.com", "api2.weixin.qq.com", "sh.api.weixin.qq.com",
	"sz.api.weixin.qq.com", "hk.api.weixin.qq.com",
}

// authority is a throw-away CA with its leaves.
type authority struct {
	certPEM []byte
	leaves  map[Certificate]*tls.Certificate
	shown   atomic.Value // Certificate
}

// ShowCertificate changes the certificate for connections made from now on.
func (s *Server) ShowCertificate(c Certificate) error { return s.net.showCertificate(c) }

func (l *listener) showCertificate(c Certificate) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ca, err := l.authorityLocked()
	if err != nil {
		return err
	}
	if ca.leaves[c] == nil {
		return fmt.Errorf("show certificate %q: want expired, wrong-name, unknown-ca or nothing", c)
	}
	ca.shown.Store(c)
	return nil
}

// CACertPEM returns the certificate of the server's CA in PEM. It panics if the
// machine has no randomness.
func (s *Server) CACertPEM() []byte {
	text, err := s.net.caCertPEM()
	if err != nil {
		panic("wechattest: " + err.Error())
	}
	return text
}

func (l *listener) caCertPEM() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ca, err := l.authorityLocked()
	if err != nil {
		return nil, err
	}
	return ca.certPEM, nil
}

func (l *listener) tlsConfigLocked() (*tls.Config, error) {
	ca, err := l.authorityLocked()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return ca.leaves[ca.shown.Load().(Certificate)], nil
		},
	}, nil
}

// authorityLocked returns the server's CA, made at the first call.
func (l *listener) authorityLocked() (*authority, error) {
	if l.ca != nil {
		return l.ca, nil
	}
	ca, err := newAuthority(l.server.now())
	if err != nil {
		return nil, fmt.Errorf("make the simulator's CA: %w", err)
	}
	l.ca = ca
	return ca, nil
}

func newAuthority(now time.Time) (*authority, error) {
	root, err := newRoot(now)
	if err != nil {
		return nil, err
	}
	stranger, err := newRoot(now)
	if err != nil {
		return nil, err
	}
	a := &authority{
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw}),
		leaves:  map[Certificate]*tls.Certificate{},
	}
	a.shown.Store(CertGood)
	names := slices.Concat(apiHosts, pageHosts, []string{"localhost"})
	day := 24 * time.Hour
	for kind, leaf := range map[Certificate]func() (*tls.Certificate, error){
		CertGood:      func() (*tls.Certificate, error) { return root.leaf(names, now.Add(-day), now.Add(3650*day)) },
		CertExpired:   func() (*tls.Certificate, error) { return root.leaf(names, now.Add(-2*day), now.Add(-day)) },
		CertWrongName: func() (*tls.Certificate, error) { return root.leaf(nil, now.Add(-day), now.Add(3650*day)) },
		CertUnknownCA: func() (*tls.Certificate, error) { return stranger.leaf(names, now.Add(-day), now.Add(3650*day)) },
	} {
		if a.leaves[kind], err = leaf(); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// root is a self-signed CA.
type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newRoot(now time.Time) (*root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wechattest throw-away CA"},
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(3650 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &root{cert, key}, err
}

// leaf makes a server certificate. Without names it is for somebody else.
func (r *root) leaf(names []string, from, to time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(from.UnixNano()), NotBefore: from, NotAfter: to,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"somebody-else.invalid"},
	}
	if len(names) > 0 {
		template.DNSNames = names
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, key.Public(), r.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
