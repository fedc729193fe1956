package main

import (
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed upstream.conf
var upstreamConf string

// startUpstream starts the stand-in for WeChat: nginx where there is one, as it leaves
// more of the machine to the proxies, else net/http.
func (s *stage) startUpstream(ctx context.Context, accounts int) error {
	handler := newWeChat(accounts)
	if findProgram("nginx") == "" {
		s.upstreamTitle = "net/http"
		cert, err := tls.LoadX509KeyPair(filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem"))
		if err != nil {
			return err
		}
		s.upstream, err = s.serve(handler, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
		return err
	}
	s.upstreamTitle = "nginx"
	behind, err := s.serve(handler, nil)
	if err != nil {
		return err
	}
	if s.upstream, err = freeAddress(); err != nil {
		return err
	}
	path, err := s.writeConfig("upstream", upstreamConf, "LISTEN", s.upstream, "BEHIND", behind, "MESSAGE", message)
	if err != nil {
		return err
	}
	if _, err = s.runNginx(ctx, peer{}, accounts, s.upstream, path); err != nil {
		return fmt.Errorf("the upstream: %w", err)
	}
	return nil
}

// serve serves on a free address until the stage is stopped.
func (s *stage) serve(h http.Handler, c *tls.Config) (address string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	// A client that goes is no news.
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	s.servers = append(s.servers, server)
	address = ln.Addr().String()
	if c != nil {
		ln = tls.NewListener(ln, c)
	}
	go func() { _ = server.Serve(ln) }()
	return address, nil
}

// newWeChat returns a handler that gives tokens, and takes calls only with them.
func newWeChat(accounts int) http.Handler {
	known := map[string]bool{}
	for i := range accounts {
		known[tokenOf(appID(i))] = true
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/cgi-bin/stable_token", giveToken)
	// nginx has read the body, and has looked at the token.
	mux.HandleFunc("/uploaded", answer)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != r.ContentLength || !known[r.URL.Query().Get("access_token")] {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.URL.Path == "/cgi-bin/media/get" {
			w.Header().Set("Content-Type", "video/mp4")
			w.Header().Set("Content-Length", strconv.Itoa(len(payload)))
			_, _ = w.Write(payload) // the client has gone
			return
		}
		answer(w, r)
	})
	return mux
}

func giveToken(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		AppID string `json:"appid"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":%q,"expires_in":7200}`, tokenOf(asked.AppID))
}

func answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, message) // the client has gone
}

// startDirect is for calls of the upstream itself.
func startDirect(_ context.Context, s *stage, p peer, accounts int) (contender, error) {
	c := contender{peer: p, accounts: accounts, address: s.upstream, roots: s.roots, pid: os.Getpid()}
	if len(s.processes) > 0 {
		c.pid = s.processes[0].Process.Pid
	}
	for i := range accounts {
		c.tokens = append(c.tokens, tokenOf(appID(i)))
	}
	return c, nil
}
