// Package admin faces those who watch over the sidecar, on net/http. So far it has
// the metrics listener: /metrics for Prometheus, /livez and /readyz for a kubelet,
// /tokenz for apps that must not start before their tokens are there, and /ca.pem
// for those that must trust the sidecar's certificates. Nothing on it is secret, and
// nothing on it changes anything.
//
// The package makes no API promise outside this module.
package admin
