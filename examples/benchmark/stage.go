package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// contender is one proxy under load, or the upstream itself.
type contender struct {
	peer
	accounts int
	address  string
	pid      int
	tokens   []string       // in the query, by account; nil: the header names the account
	roots    *x509.CertPool // of TLS; nil: plain HTTP
}

// stage is everything that runs during a comparison.
type stage struct {
	dir, binary   string
	roots         *x509.CertPool
	upstream      string // its address
	upstreamTitle string
	servers       []*http.Server
	processes     []*exec.Cmd
	contenders    []contender
}

// newStage writes the files that all share. The stage is to be stopped even after an
// error.
func newStage(dir string, o options) (*stage, error) {
	s := &stage{dir: dir, binary: o.binary, roots: x509.NewCertPool()}
	cert, key, err := makeCertificate()
	if err != nil {
		return s, err
	}
	s.roots.AppendCertsFromPEM(cert)
	files := map[string][]byte{"cert.pem": cert, "key.pem": key, "big": payload}
	most := slices.Max(o.accounts)
	for _, n := range o.accounts {
		files[fmt.Sprintf("%d.map", n)] = lines(n, "%[1]s %[2]s\n")
		files[fmt.Sprintf("%d.nginx", n)] = lines(n, "%[1]s \"%[2]s\";\n")
	}
	files["known.nginx"] = lines(most, "\"%[2]s\" 1;\n")
	for name, content := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return s, err
}

// startAll starts the upstream and a process of each peer for each number of accounts,
// and has each make one call for every account.
func (s *stage) startAll(ctx context.Context, peers []peer, accounts []int) error {
	if err := s.startUpstream(ctx, slices.Max(accounts)); err != nil {
		return err
	}
	for _, n := range accounts {
		for _, p := range peers {
			if p.once && n != accounts[0] {
				continue
			}
			c, err := p.start(ctx, s, p, n)
			if err == nil {
				err = callEach(ctx, &c)
			}
			if err = errors.Join(ctx.Err(), err); err != nil {
				return fmt.Errorf("%s, %d accounts: %w", p.name, n, err)
			}
			s.contenders = append(s.contenders, c)
		}
	}
	return nil
}

// stop ends what was started.
func (s *stage) stop() {
	for _, p := range s.processes {
		_ = p.Process.Signal(os.Interrupt)
	}
	for _, p := range s.processes {
		slow := time.AfterFunc(5*time.Second, func() { _ = p.Process.Kill() })
		_ = p.Wait()
		slow.Stop()
	}
	for _, server := range s.servers {
		_ = server.Close()
	}
}

// writeConfig fills a configuration in and returns its path.
func (s *stage) writeConfig(name, text string, replacements ...string) (string, error) {
	text = strings.NewReplacer(append(replacements, "DIR", s.dir, "NAME", name, "UPSTREAM", s.upstream)...).Replace(text)
	path := filepath.Join(s.dir, name+".conf")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// run starts a process and waits until it takes connections.
func (s *stage) run(ctx context.Context, p peer, n int, address string, command ...string) (contender, error) {
	said, err := os.CreateTemp(s.dir, "said-")
	if err != nil {
		return contender{}, err
	}
	defer func() { _ = said.Close() }()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, said, said
	if err := cmd.Start(); err != nil {
		return contender{}, err
	}
	s.processes = append(s.processes, cmd)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close()
			return contender{peer: p, accounts: n, address: address, pid: cmd.Process.Pid}, nil
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(said.Name())
			return contender{}, fmt.Errorf("it does not listen on %s: %s", address, text)
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

func appID(account int) string { return fmt.Sprintf("wx%016x", account+1) }

// tokenOf returns the token of an account, as long as WeChat's are.
func tokenOf(id string) string {
	return "99_benchmark-" + id + "_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
}

// lines returns a line for each of n accounts, of its appid and its token.
func lines(n int, format string) []byte {
	var b []byte
	for i := range n {
		b = fmt.Appendf(b, format, appID(i), tokenOf(appID(i)))
	}
	return b
}
