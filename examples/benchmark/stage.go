package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

var (
	//go:embed nginx.conf
	nginxConf string
	//go:embed upstream.conf
	upstreamConf string
	//go:embed post.lua
	postScript string
	//go:embed upload.lua
	uploadScript string
)

// contender is one proxy under load.
type contender struct {
	name, address, scheme string
	pid                   int
}

// stage is everything that runs during a comparison.
type stage struct {
	dir        string
	processes  []*exec.Cmd
	contenders []contender
}

// startAll starts the stand-in for WeChat and every contender. The stage is to be
// stopped even after an error.
func startAll(dir string) (*stage, error) {
	s := &stage{dir: dir}
	if err := s.writeFiles(); err != nil {
		return s, err
	}
	upstream, err := s.startNginx("upstream", upstreamConf, "")
	if err != nil {
		return s, err
	}
	upstream.scheme = "https"
	upstream.name = "no proxy"
	s.contenders = append(s.contenders, upstream)
	sidecar, err := s.startSidecar(upstream.address)
	if err != nil {
		return s, err
	}
	s.contenders = append(s.contenders, sidecar)
	return s, s.startPeers(upstream.address, os.Stderr)
}

// stop ends what was started, the last first.
func (s *stage) stop() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		p := s.processes[i]
		_ = p.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { _ = p.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = p.Process.Kill()
			<-done
		}
	}
}

func (s *stage) writeFiles() error {
	cert, key, err := makeCertificate()
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"cert.pem": cert, "key.pem": key, "post.lua": []byte(postScript), "upload.lua": []byte(uploadScript), "tokens.map": []byte(appID + " " + token + "\n"),
	}
	var all error
	for name, content := range files {
		all = errors.Join(all, os.WriteFile(filepath.Join(s.dir, name), content, 0o600))
	}
	return all
}

// makeCertificate makes the upstream's own root and certificate in one.
func makeCertificate() (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "127.0.0.1"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"127.0.0.1"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}

// writeConfig fills a configuration in and returns its path.
func (s *stage) writeConfig(name, text, listen, upstream string) (string, error) {
	text = strings.NewReplacer("DIR", s.dir, "MODULES", modules, "LISTEN", listen, "UPSTREAM", upstream, "APPID", appID, "TOKEN", token).Replace(text)
	path := filepath.Join(s.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func (s *stage) startNginx(name, conf, upstream string) (contender, error) {
	address, err := freeAddress()
	if err != nil {
		return contender{}, err
	}
	path, err := s.writeConfig(name+".conf", conf, address, upstream)
	if err != nil {
		return contender{}, err
	}
	return s.start(name, address, exec.Command("nginx", "-p", s.dir, "-c", path, "-e", filepath.Join(s.dir, name+".log")))
}

func (s *stage) startHAProxy(upstream string) (contender, error) {
	address, err := freeAddress()
	if err != nil {
		return contender{}, err
	}
	path, err := s.writeConfig("haproxy.cfg", haproxyConf, address, upstream)
	if err != nil {
		return contender{}, err
	}
	return s.start("HAProxy", address, exec.Command("haproxy", "-db", "-f", path))
}

func (s *stage) startReverseProxy(upstream string) (contender, error) {
	address, err := freeAddress()
	if err != nil {
		return contender{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return contender{}, err
	}
	return s.start("ReverseProxy", address, exec.Command(self, "-reverseproxy", address, "-upstream", upstream, "-roots", filepath.Join(s.dir, "cert.pem")))
}

// startSidecar builds and starts the program of this repository.
func (s *stage) startSidecar(upstream string) (contender, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return contender{}, errors.New("cannot tell where the source is")
	}
	binary := filepath.Join(s.dir, "wxsidecar")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, ".")
	build.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return contender{}, fmt.Errorf("build the sidecar: %w\n%s", err, out)
	}
	address, err := freeAddress()
	if err != nil {
		return contender{}, err
	}
	cmd := exec.Command(binary, "serve")
	cmd.Env = append(os.Environ(),
		"WXSIDECAR_ACCOUNTS_0_APPID="+appID, "WXSIDECAR_ACCOUNTS_0_SECRET=secret",
		"WXSIDECAR_LISTEN_APPS="+address, "WXSIDECAR_LISTEN_PUSH=off", "WXSIDECAR_LISTEN_METRICS=off", "WXSIDECAR_LISTEN_ADMIN=off",
		"WXSIDECAR_UPSTREAM_URL=https://"+upstream, "WXSIDECAR_UPSTREAM_CA_FILE="+filepath.Join(s.dir, "cert.pem"),
		"WXSIDECAR_LOG_LEVEL=warn",
	)
	return s.start("sidecar", address, cmd)
}

// start starts a process and waits until it takes connections.
func (s *stage) start(name, address string, cmd *exec.Cmd) (contender, error) {
	var said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &said, &said
	if err := cmd.Start(); err != nil {
		return contender{}, fmt.Errorf("start %s: %w", name, err)
	}
	s.processes = append(s.processes, cmd)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		var d net.Dialer
		if c, err := d.DialContext(ctx, "tcp", address); err == nil {
			_ = c.Close()
			return contender{name: name, address: address, scheme: "http", pid: cmd.Process.Pid}, nil
		}
		select {
		case <-ctx.Done():
			return contender{}, fmt.Errorf("start %s: it does not listen on %s: %s", name, address, said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
