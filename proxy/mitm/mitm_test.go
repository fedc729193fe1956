package mitm

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

const apiHost = "api.weixin.qq.com"

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func authority(t *testing.T, now func() time.Time) (*Authority, []byte) {
	t.Helper()
	kept, err := Create(now())
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{PEM: kept, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return a, kept
}

func mustLeaf(t *testing.T, a *Authority, host string) *tls.Certificate {
	t.Helper()
	cert, err := a.leafFor(host)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func pool(certificates ...[]byte) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certificates {
		p.AppendCertsFromPEM(c)
	}
	return p
}

func verify(cert *x509.Certificate, roots *x509.CertPool, host string, at time.Time) error {
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: at})
	return err
}

func TestLeaf_Verifies(t *testing.T) {
	c := &clock{start}
	a, _ := authority(t, c.Now)
	for _, host := range []string{apiHost, "API.Weixin.QQ.com", "api.weixin.qq.com.", "sh.api.weixin.qq.com", "weixin.qq.com"} {
		cert := mustLeaf(t, a, host)
		name := strings.TrimSuffix(host, ".")
		if err := verify(cert.Leaf, pool(a.CertificatePEM()), name, start); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if err := verify(cert.Leaf, pool(a.CertificatePEM()), "mp.weixin.qq.com", start); err == nil {
			t.Errorf("the leaf for %s passes for another name", host)
		}
	}
}

func TestLeaf_RefusesForeignNames(t *testing.T) {
	c := &clock{start}
	a, _ := authority(t, c.Now)
	for _, host := range []string{
		"", "qq.com", "example.com", "evilweixin.qq.com", "weixin.qq.com.example.com", "127.0.0.1", "::1",
		".weixin.qq.com", "a..weixin.qq.com", "*.weixin.qq.com", "a b.weixin.qq.com", "a\x00.weixin.qq.com",
		strings.Repeat("a", 64) + ".weixin.qq.com", strings.Repeat("a.", 130) + "weixin.qq.com",
	} {
		if _, err := a.leafFor(host); !errors.Is(err, errOutsideDomain) {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// Whoever has the authority's key can sign for any name; clients must refuse it.
func TestConstraint_HoldsWithoutUs(t *testing.T) {
	c := &clock{start}
	a, _ := authority(t, c.Now)
	f := func(what string, change func(*x509.Certificate)) {
		t.Helper()
		forged, err := forge(a, change)
		if err != nil {
			t.Fatal(err)
		}
		roots := pool(a.CertificatePEM())
		_, err = forged.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: start, KeyUsages: forged.ExtKeyUsage})
		if err == nil {
			t.Errorf("Go takes %s", what)
		}
		if out, err := openssl(t, a.CertificatePEM(), forged.Raw, start); err == nil {
			t.Errorf("openssl takes %s: %s", what, out)
		}
	}
	f("a bank", func(c *x509.Certificate) { c.DNSNames = []string{"bank.example"} })
	f("a bank beside us", func(c *x509.Certificate) { c.DNSNames = []string{apiHost, "bank.example"} })
	f("the domain above", func(c *x509.Certificate) { c.DNSNames = []string{"qq.com"} })
	f("a lookalike", func(c *x509.Certificate) { c.DNSNames = []string{"notweixin.qq.com"} })
	f("an IPv4 address", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	f("an IPv6 address", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv6loopback} })
	f("another use", func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{apiHost}, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	})
}

// forge signs what Leaf would not.
func forge(a *Authority, change func(*x509.Certificate)) (*x509.Certificate, error) {
	template := &x509.Certificate{
		NotBefore: start.Add(-time.Hour), NotAfter: start.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(template)
	der, err := sign(template, a.cert, a.key, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// openssl verifies with the other side's eyes.
func openssl(t *testing.T, ca, leafDER []byte, at time.Time) (string, error) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	caFile, leafFile := write("ca.pem", ca), write("leaf.pem", encode(certificateBlock, leafDER))
	out, err := exec.Command("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", fmt.Sprint(at.Unix()),
		"-CAfile", caFile, leafFile).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatal("openssl is missing: install Debian's package openssl")
	}
	return string(out), err
}

func TestLeaf_OpenSSLVerifies(t *testing.T) {
	c := &clock{start}
	a, _ := authority(t, c.Now)
	if out, err := openssl(t, a.CertificatePEM(), mustLeaf(t, a, apiHost).Certificate[0], start); err != nil {
		t.Error(out, err)
	}
}

func TestLeaf_CachedAndRenewed(t *testing.T) {
	c := &clock{start}
	a, _ := authority(t, c.Now)
	first := mustLeaf(t, a, apiHost)
	if mustLeaf(t, a, "API.weixin.qq.com") != first {
		t.Error("one name has two leaves")
	}
	c.now = start.Add(leafLife - leafRenew - time.Second)
	if mustLeaf(t, a, apiHost) != first {
		t.Error("renewed too early")
	}
	c.now = start.Add(leafLife - leafRenew)
	second := mustLeaf(t, a, apiHost)
	if second == first {
		t.Fatal("not renewed")
	}
	if err := verify(second.Leaf, pool(a.CertificatePEM()), apiHost, start.Add(leafLife)); err != nil {
		t.Error(err)
	}
}

func TestLeaf_Bounded(t *testing.T) {
	c := &clock{start}
	a, _ := authority(t, c.Now)
	for i := range 3 * maxLeaves {
		mustLeaf(t, a, fmt.Sprintf("h%d.weixin.qq.com", i))
	}
	if n := len(a.leaves); n > maxLeaves {
		t.Errorf("%d leaves are kept", n)
	}
}

func TestLeaf_Concurrent(t *testing.T) {
	c := &clock{start}
	a, _ := authority(t, c.Now)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := a.leafFor(fmt.Sprintf("h%d.weixin.qq.com", i%3)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestRenew(t *testing.T) {
	c := &clock{start}
	a, kept := authority(t, c.Now)
	if again, err := Renew(kept, start.Add(caLife/2-time.Hour)); again != nil || err != nil {
		t.Fatalf("renewed in the first half: %v", err)
	}
	c.now = start.Add(caLife/2 + time.Hour)
	renewed, err := Renew(kept, c.now)
	if err != nil || renewed == nil {
		t.Fatalf("not renewed in the second half: %v", err)
	}
	b, err := New(Options{PEM: renewed, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	if !b.cert.NotAfter.After(a.cert.NotAfter) {
		t.Error("the renewed certificate ends no later")
	}
	// Clients and replicas change at times of their own.
	for _, issuer := range []*Authority{a, b} {
		for _, trusted := range []*Authority{a, b} {
			if err := verify(mustLeaf(t, issuer, apiHost).Leaf, pool(trusted.CertificatePEM()), apiHost, c.now); err != nil {
				t.Error(err)
			}
			if out, err := openssl(t, trusted.CertificatePEM(), mustLeaf(t, issuer, apiHost).Certificate[0], c.now); err != nil {
				t.Error(out, err)
			}
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	c := &clock{start}
	_, kept := authority(t, c.Now)
	_, other := authority(t, c.Now)
	cut := bytes.Index(kept, []byte("-----BEGIN PRIVATE KEY"))
	cutOther := bytes.Index(other, []byte("-----BEGIN PRIVATE KEY"))
	f := func(what string, pem []byte) {
		t.Helper()
		_, err := New(Options{PEM: pem, Now: c.Now})
		if err == nil {
			t.Fatalf("%s was taken", what)
		}
		if strings.Contains(err.Error(), "MIG") {
			t.Errorf("%s: the error shows the key: %v", what, err)
		}
	}
	f("nothing", nil)
	f("a certificate alone", kept[:cut])
	f("a key alone", kept[cut:])
	f("another's key", append(bytes.Clone(kept[:cut]), other[cutOther:]...))
	f("a damaged key", append(bytes.Clone(kept[:cut]), encode(keyBlock, []byte("MIG damaged"))...))
	f("a damaged certificate", append(encode(certificateBlock, []byte("x")), kept[cut:]...))
}

func TestCertificatePEM_HasNoKey(t *testing.T) {
	c := &clock{start}
	a, _ := authority(t, c.Now)
	if bytes.Contains(a.CertificatePEM(), []byte("PRIVATE")) {
		t.Error("the key is in it")
	}
}

func TestTLSConfig(t *testing.T) {
	a, _ := authority(t, time.Now)
	f := func(serverName string, protocols []string, want bool) {
		t.Helper()
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		done := make(chan error, 1)
		go func() { done <- tls.Server(server, a.TLSConfig(apiHost)).Handshake() }()
		conn := tls.Client(client, &tls.Config{RootCAs: pool(a.CertificatePEM()), ServerName: serverName, NextProtos: protocols})
		err := conn.Handshake()
		client.Close()
		<-done
		if (err == nil) != want {
			t.Errorf("%s, %v: %v", serverName, protocols, err)
		}
		if err == nil && len(protocols) > 0 && conn.ConnectionState().NegotiatedProtocol != "http/1.1" {
			t.Errorf("%s: speaks %q", serverName, conn.ConnectionState().NegotiatedProtocol)
		}
	}
	f(apiHost, nil, true)
	f(apiHost, []string{"h2", "http/1.1"}, true)
	f(apiHost, []string{"h2"}, false)
	f("example.com", nil, false)
	if v := a.TLSConfig(apiHost).MinVersion; v < tls.VersionTLS12 {
		t.Errorf("takes %s", tls.VersionName(v))
	}
}
