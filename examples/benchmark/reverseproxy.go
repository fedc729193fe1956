package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httputil"
	"os"
	"time"
)

// serveReverseProxy serves what one would write with net/http: the token of the
// account in X-Wechat-Appid goes to the end of the query.
func serveReverseProxy(address, upstream, roots string) error {
	pem, err := os.ReadFile(roots)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in " + roots)
	}
	tokens := map[string]string{appID: token}
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
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 256,
			DisableCompression: true, IdleConnTimeout: time.Minute,
		},
	}
	srv := &http.Server{Addr: address, Handler: proxy, ReadHeaderTimeout: 30 * time.Second}
	return srv.ListenAndServe()
}
