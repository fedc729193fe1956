// Package admin faces those who watch over the sidecar, on net/http.
//
// The metrics listener has /metrics for Prometheus, /livez and /readyz for a kubelet,
// /tokenz for apps that must not start before their tokens are there, and /ca.pem
// for those that must trust the sidecar's certificates. Nothing on it is secret, and
// nothing on it changes anything.
//
// The admin listener has the JSON API for operators, their page, and Go's profiles. Nothing on it is
// secret either, but it acts, so that it has a guard.
//
//	pages.go       the metrics listener; tokenz.go, limits.go (how many at once)
//	api.go         what the admin listener needs, and the table of its operations
//	guard.go       who may call it
//	route.go       from a request to its operation; acts are logged
//	answer.go      answers, errors, bodies and parameters
//	api_*.go       the operations; openapi.yaml describes them
//	status.go      all that is said of a sidecar at once, for the API and the page
//	findings.go    what is wrong, in words, and what to do
//	findings_*.go  what is wrong with keys; what it says in any language; what to do, by errcodes
//	page.go        the page: what it is made of; page_act.go its forms, page_view.go and
//	               page_sections.go what it shows (page_keys.go of keys, page_replicas.go of others),
//	               page_findings.go what is wrong, page_words*.go and page_parts*.go
//	               in which words, page.templ the markup, page.css and page.js
//	profiles.go    Go's profiles
//	server.go      limits against slow peers
//
// The package makes no API promise outside this module.
package admin
