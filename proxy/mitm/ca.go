// Package mitm makes the certificates with which the sidecar answers in the name
// of WeChat's API hosts, for apps whose SDK calls https://api.weixin.qq.com and
// can be told nothing else.
//
// The authority is constrained: a client that trusts it trusts it for
// weixin.qq.com and the names below only, for no IP address, and for no use but
// that of a TLS server (RFC 5280, 4.2.1.10). So its key, if it were lost, would
// not open an app's other traffic.
//
// The package keeps nothing: the authority goes in and out as PEM, and whoever
// keeps that must keep it secret.
package mitm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// domain is the domain that the authority may speak for, with all names below.
const domain = "weixin.qq.com"

const (
	// caLife is long, since every client must be given a new certificate when it ends.
	caLife = 10 * 365 * 24 * time.Hour
	// slack is how long before now certificates begin, for clients with slow clocks.
	slack = 24 * time.Hour

	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// Create makes a new authority: its certificate and its private key in PEM.
func Create(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the interception CA: %w", err)
	}
	return certify(key, now)
}

// Renew returns nil while less than half of the authority's life is over, and then
// a new certificate of the same name for the same key: leaves verify against both,
// so that clients have the other half to be told of the new one.
func Renew(kept []byte, now time.Time) ([]byte, error) {
	cert, key, err := parse(kept)
	if err != nil {
		return nil, err
	}
	if cert.NotAfter.Sub(now) > caLife/2 {
		return nil, nil
	}
	return certify(key, now)
}

// certify signs a certificate of the authority for its key.
func certify(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "wxsidecar interception CA, " + domain + " only"},
		NotBefore:             now.Add(-slack),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // signs leaves, no further authority

		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{domain},
		// A constraint on one form of name leaves the others free: addresses too
		// must be named to be excluded.
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
	}
	der, err := sign(template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("make the interception CA: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make the interception CA: %w", err)
	}
	return append(encode(certificateBlock, der), encode(keyBlock, pkcs8)...), nil
}

// sign fills in a random serial number and signs.
func sign(template, parent *x509.Certificate, subject, signer *ecdsa.PrivateKey) ([]byte, error) {
	var serial [16]byte
	if _, err := rand.Read(serial[:]); err != nil {
		return nil, err
	}
	serial[0] &= 0x7f // RFC 5280 wants it positive
	template.SerialNumber = new(big.Int).SetBytes(serial[:])
	return x509.CreateCertificate(rand.Reader, template, parent, subject.Public(), signer)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// parse reads what [Create] made. Its errors show nothing of it.
func parse(kept []byte) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	var cert *x509.Certificate
	var key *ecdsa.PrivateKey
	for block, rest := pem.Decode(kept); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case certificateBlock:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("read the interception CA: %w", err)
			}
			cert = c
		case keyBlock:
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, errors.New("read the interception CA: its key is damaged")
			}
			key, _ = k.(*ecdsa.PrivateKey)
		}
	}
	if cert == nil || key == nil || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, errors.New("read the interception CA: a certificate with its ECDSA key is wanted")
	}
	return cert, key, nil
}

// Options configure an [Authority]. PEM is needed.
type Options struct {
	// PEM is what [Create] or [Renew] returned. It is not kept.
	PEM []byte
	// Now is the clock by which certificates begin and end; nil for time.Now.
	Now func() time.Time
}

// Authority makes leaves. Its methods are safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	mu     sync.Mutex
	leaves map[string]*leaf
}

// New returns the authority that o.PEM holds.
func New(o Options) (*Authority, error) {
	cert, key, err := parse(o.PEM)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Authority{cert: cert, key: key, now: o.Now, leaves: map[string]*leaf{}}, nil
}

// CertificatePEM returns the certificate, which clients must trust, without the
// key. The caller owns the bytes.
func (a *Authority) CertificatePEM() []byte { return encode(certificateBlock, bytes.Clone(a.cert.Raw)) }
