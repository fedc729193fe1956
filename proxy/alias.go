package proxy

import (
	"errors"
	"net"
)

// ServeAliasTLS is [Server.Serve] for apps whose hosts file points WeChat's names at ln.
// It terminates TLS with ConnectOptions.TLS, which must be set.
func (s *Server) ServeAliasTLS(ln net.Listener) error {
	if s.connect.tls == nil {
		return errors.New("serve the alias listener: ConnectOptions.TLS is missing")
	}
	return s.serveOn(aliasListener{ln, s})
}

// aliasListener accepts connections and terminates their TLS.
type aliasListener struct {
	net.Listener
	server *Server
}

// Accept implements [net.Listener].
func (l aliasListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := l.server
	return newAppConn(newAppTLSConn(c, s.connect.tls, s.now, s.log), s.now, true), nil
}
