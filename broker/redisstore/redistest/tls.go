package redistest

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
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificates are a certificate authority's, a server's and a client's, in files.
type certificates struct {
	dir    string
	client *tls.Config
}

func makeCertificates(t testing.TB) *certificates {
	t.Helper()
	c := &certificates{dir: t.TempDir()}
	ca, caKey := c.issue(t, "ca", nil, nil)
	c.issue(t, "server", ca, caKey)
	c.issue(t, "client", ca, caKey)
	pair, err := tls.LoadX509KeyPair(c.file("client.crt"), c.file("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	c.client = &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
	return c
}

func (c *certificates) file(name string) string { return filepath.Join(c.dir, name) }

// issue writes a certificate and its key. Without an authority it signs itself.
func (c *certificates) issue(t testing.TB, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "redistest " + name},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, name+".crt", "CERTIFICATE", der)
	c.write(t, name+".key", "PRIVATE KEY", keyDER)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (c *certificates) write(t testing.TB, name, sort string, der []byte) {
	t.Helper()
	if err := os.WriteFile(c.file(name), pem.EncodeToMemory(&pem.Block{Type: sort, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// config returns a server's lines for TLS alone, towards its replicas too.
func (c *certificates) config(port int, clients bool) []string {
	asks := map[bool]string{true: "yes", false: "no"}[clients]
	return []string{
		"port 0", fmt.Sprintf("tls-port %d", port), "tls-replication yes", "tls-cluster yes",
		"tls-cert-file " + c.file("server.crt"), "tls-key-file " + c.file("server.key"),
		"tls-ca-cert-file " + c.file("ca.crt"), "tls-auth-clients " + asks,
	}
}

// query returns the parameters by which a store's URL names the files.
func (c *certificates) query(clientCert bool) url.Values {
	q := url.Values{"ca_file": {c.file("ca.crt")}}
	if clientCert {
		q.Set("cert_file", c.file("client.crt"))
		q.Set("key_file", c.file("client.key"))
	}
	return q
}
