// Package prometheus has rules and a configuration for Prometheus, and the tests that hold
// them, the runbook and Grafana's dashboard against a real sidecar and a real Prometheus.
//
// The package makes no API promise outside this module.
package prometheus
