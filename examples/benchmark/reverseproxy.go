package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"time"
)

// reverseProxyVerb has the program serve as net/http's ReverseProxy: the address, the
// upstream's, and the folder and file of tokens follow.
const reverseProxyVerb = "reverseproxy"

func startReverseProxy(ctx context.Context, s *stage, p peer, accounts int) (contender, error) {
	self, err := os.Executable()
	if err != nil {
		return contender{}, err
	}
	address, err := freeAddress()
	if err != nil {
		return contender{}, err
	}
	return s.run(ctx, p, accounts, address, self, reverseProxyVerb, address, s.upstream, filepath.Join(s.dir, fmt.Sprintf("%d.map", accounts)))
}

// serveReverseProxy serves what one would write with net/http: the token of the
// account in X-Wechat-Appid goes to the end of the query.
func serveReverseProxy(address, upstream, file string) error {
	pem, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cert.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	tokens, err := readTokens(file)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", upstream, upstream
			if r.Out.URL.RawQuery != "" {
				r.Out.URL.RawQuery += "&"
			}
			r.Out.URL.RawQuery += "access_token=" + tokens[r.In.Header.Get("X-Wechat-Appid")]
			r.Out.Header.Del("X-Wechat-Appid")
		},
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 1024,
			DisableCompression: true, IdleConnTimeout: 10 * time.Minute,
		},
	}
	srv := &http.Server{Addr: address, Handler: proxy, ReadHeaderTimeout: 10 * time.Minute}
	return srv.ListenAndServe()
}

// readTokens reads lines of an appid and its token.
func readTokens(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	tokens := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		id, token, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		tokens[string(id)] = string(token)
	}
	return tokens, nil
}
