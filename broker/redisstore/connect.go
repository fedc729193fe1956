package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/wxsidecar/wxsidecar/broker/redisstore/redisurl"
)

const (
	// dialWithin bounds a connection's making, TLS and greeting included.
	dialWithin = time.Second
	// pingEvery is how often a connection that has nothing to say is asked whether it lives;
	// one whose answer takes longer than aliveWithin is given up.
	pingEvery   = time.Second
	aliveWithin = time.Second
	// topologyEvery is how often Sentinels and Cluster are asked who is who. They tell by
	// themselves too, but what they told while nobody listened is told once.
	topologyEvery = 5 * time.Second
	// bufferBytes is for each connection, in each direction. rueidis's default of half a
	// megabyte is for traffic that a store of tokens never has.
	bufferBytes = 64 << 10
)

func (s *Store) connect() error {
	option, err := clientOption(s.target)
	if err != nil {
		return err
	}
	// Without NOLOOP: two writes in one turn of the server's loop are one push, which NOLOOP
	// keeps from the first of the writers.
	option.ClientTrackingOptions = []string{"BCAST", "PREFIX", s.keys.changes}
	option.OnInvalidations = s.pushed.invalidated
	client, err := newClient(option)
	if err != nil {
		return startError(s.target, err, s.rights())
	}
	s.client = client
	return nil
}

func newClient(option rueidis.ClientOption) (rueidis.Client, error) {
	client, err := rueidis.NewClient(option)
	if err != nil && client != nil {
		client.Close()
	}
	return client, err
}

// clientOption is what a connection to t needs, whatever it is for.
func clientOption(t redisurl.Target) (rueidis.ClientOption, error) {
	password := t.Password.Reveal()
	if t.PasswordFile != "" {
		text, err := os.ReadFile(t.PasswordFile)
		if err != nil {
			return rueidis.ClientOption{}, fmt.Errorf("%s: password_file: %w", t, err)
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	tlsConfig, err := tlsOf(t)
	if err != nil {
		return rueidis.ClientOption{}, fmt.Errorf("%s: %w", t, err)
	}
	dialer := net.Dialer{Timeout: dialWithin, KeepAlive: pingEvery}
	return rueidis.ClientOption{
		InitAddress: t.Addrs,
		Username:    t.User, Password: password, SelectDB: t.DB,
		ClientName:    "wxsidecar",
		ClientSetInfo: rueidis.DisableClientSetInfo, // a right less that the user needs
		TLSConfig:     tlsConfig, Dialer: dialer,
		ConnWriteTimeout: aliveWithin,
		Sentinel: rueidis.SentinelOption{
			MasterSet: t.Master, Username: t.SentinelUser, Password: t.SentinelPassword.Reveal(), ClientName: "wxsidecar",
			TLSConfig: tlsConfig, Dialer: dialer, TopologyRefreshInterval: topologyEvery,
		},
		ClusterOption: rueidis.ClusterOption{ShardsRefreshInterval: topologyEvery},
		// By default rueidis takes a node of a Cluster that it is given alone for the Cluster.
		ForceSingleClient:  t.Kind == redisurl.Single,
		PipelineMultiplex:  -1, // one connection a server: pushes come once
		ReadBufferEachConn: bufferBytes, WriteBufferEachConn: bufferBytes,
	}, nil
}

// tlsOf returns nil where there is no TLS.
func tlsOf(t redisurl.Target) (*tls.Config, error) {
	if !t.TLS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file, key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
