package redistest

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/wxsidecar/wxsidecar/examples/programtest"
)

// Options say how a server is set up. The zero value is one that anybody may use and that keeps
// nothing on disk by itself.
type Options struct {
	// User is the ACL user of [Server.URL]; the default user is then switched off. Empty: the
	// default user.
	User string
	// Password is that of User, or of the default user (requirepass).
	Password string
	// ACL are the rules of User, as in "~wxsidecar:*", "+get". Nil: all rights.
	ACL []string
	// TLS has the server speak TLS alone, with a certificate for 127.0.0.1 and localhost.
	TLS bool
	// ClientCert has it ask for a certificate of the client's too. Its URL then names one.
	ClientCert bool
	// AOF has it keep an append-only file, so that it survives a kill. Without it only
	// Do("SAVE") keeps anything: Restart then loses what came after.
	AOF bool
	// Config are further lines of its configuration.
	Config []string
}

// admin is the user of [Server.Do] where Options.User has rules of its own.
const admin, adminPassword = "redistest", "redistest"

// Server is one redis-server.
type Server struct {
	process
	options Options
	port    int
	certs   *certificates // nil without TLS
}

// Start starts a server, which ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	var certs *certificates
	if o.TLS {
		certs = makeCertificates(t)
	}
	return start(t, o, certs, nil)
}

// start starts a server on a port that is free. More has further lines for that port.
func start(t testing.TB, o Options, certs *certificates, more func(port int) []string) *Server {
	t.Helper()
	for range 5 {
		s := &Server{process: process{t: t, dir: t.TempDir()}, options: o, certs: certs, port: programtest.FreePort(t)}
		lines := s.config()
		if more != nil {
			lines = append(lines, more(s.port)...)
		}
		file := filepath.Join(s.dir, "redis.conf")
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = []string{file}
		if strings.Contains(strings.Join(lines, "\n"), "sentinel monitor") {
			s.args = append(s.args, "--sentinel")
		}
		s.start()
		t.Cleanup(s.end)
		if s.ready() {
			return s
		}
		// Somebody was faster on that port, or the configuration is bad.
		s.showLog()
	}
	t.Fatal("redis-server does not start; its log is above")
	return nil
}

func (s *Server) end() {
	s.kill()
	if s.t.Failed() {
		s.showLog()
	}
}

// ready waits until it answers, and reports false if it ends instead: somebody else may answer
// on that port.
func (s *Server) ready() bool {
	s.t.Helper()
	pid, answers := strconv.Itoa(s.cmd.Process.Pid), false
	wait(s.t, "redis-server answers", func() (bool, any) {
		// A server that still loads its data answers INFO, but not PING.
		info, err := s.do([]string{"PING"}, []string{"INFO", "server"})
		answers = err == nil && field(fmt.Sprint(info), "process_id") == pid
		return answers || !s.running(), err
	})
	return answers
}

func (s *Server) config() []string {
	o := s.options
	lines := []string{
		"bind 127.0.0.1", "dir " + s.dir, "daemonize no", `save ""`, "repl-diskless-sync-delay 0",
		"appendonly " + map[bool]string{true: "yes", false: "no"}[o.AOF],
	}
	if o.TLS {
		lines = append(lines, s.certs.config(s.port, o.ClientCert)...)
	} else {
		lines = append(lines, fmt.Sprintf("port %d", s.port))
	}
	switch {
	case o.User != "":
		rules := "~* &* +@all"
		if o.ACL != nil {
			rules = strings.Join(o.ACL, " ")
		}
		lines = append(lines, "user default off",
			fmt.Sprintf("user %s on >%s ~* &* +@all", admin, adminPassword),
			fmt.Sprintf("user %s on >%s %s", o.User, o.Password, rules),
			"masteruser "+admin, "masterauth "+adminPassword)
	case o.Password != "":
		lines = append(lines, "requirepass "+o.Password, "masterauth "+o.Password)
	}
	return append(lines, o.Config...)
}

// Addr returns its host and port.
func (s *Server) Addr() string { return addrOf(s.port) }

// URL returns the store's URL of it.
func (s *Server) URL() string { return s.URLVia(s.Addr()) }

// URLVia returns its URL with another host and port: those of a [Link] to it, say.
func (s *Server) URLVia(addr string) string {
	u := url.URL{Scheme: "redis", Host: addr, Path: "/0", User: s.options.userinfo()}
	if s.options.TLS {
		u.Scheme, u.RawQuery = "rediss", s.certs.query(s.options.ClientCert).Encode()
	}
	return u.String()
}

func (o Options) userinfo() *url.Userinfo {
	if o.Password == "" {
		return nil
	}
	return url.UserPassword(o.User, o.Password)
}

// Do runs a command as somebody with all rights. It returns a string, an int64, nil or a list
// ([]any) of these, or what the server or the network answers in their place. It is safe for
// concurrent use.
func (s *Server) Do(args ...string) (any, error) { return s.do(args) }

// do runs commands over one connection and returns the answer to the last.
func (s *Server) do(commands ...[]string) (any, error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // the answer was read, or failed
	switch {
	case s.options.User != "":
		commands = slices.Insert(commands, 0, []string{"AUTH", admin, adminPassword})
	case s.options.Password != "":
		commands = slices.Insert(commands, 0, []string{"AUTH", s.options.Password})
	}
	return roundTrip(c, commands...)
}

func (s *Server) dial() (net.Conn, error) {
	d := net.Dialer{Timeout: answerTimeout}
	if s.certs == nil {
		return d.Dial("tcp", s.Addr())
	}
	return tls.DialWithDialer(&d, "tcp", s.Addr(), s.certs.client)
}

// MustDo is Do for what has to succeed.
func (s *Server) MustDo(args ...string) any {
	s.t.Helper()
	answer, err := s.Do(args...)
	if err != nil {
		s.t.Fatalf("%s: %v", args, err)
	}
	return answer
}

// Info returns a field of INFO, "" if there is none.
func (s *Server) Info(name string) string {
	s.t.Helper()
	text, _ := s.MustDo("INFO", "everything").(string)
	return field(text, name)
}

// Flush empties it.
func (s *Server) Flush() { s.t.Helper(); s.MustDo("FLUSHALL") }

// Kill ends it as a crash does.
func (s *Server) Kill() { s.t.Helper(); s.kill() }

// Restart ends it as a crash does, unless it has ended already, and starts it again on the same
// port with what it has on disk.
func (s *Server) Restart() {
	s.t.Helper()
	s.kill()
	s.start()
	if !s.ready() {
		s.t.Fatal("redis-server does not start again")
	}
}

// Stop halts it: connections stay, nothing is answered.
func (s *Server) Stop() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Cont ends a Stop. What came meanwhile is carried out.
func (s *Server) Cont() { s.t.Helper(); s.signal(syscall.SIGCONT) }
