// Package metrics holds every Prometheus metric of the sidecar, so that their
// names, labels and help texts stand in one place (docs/metrics.md lists them).
//
// Labels are bounded: path families come from the catalogue, errcodes from a
// known list, the names of callers and the appids of components and own accounts
// from the configuration, and no label ever holds an authorizer's appid or a secret.
//
// The methods of [Metrics] that count or show something may be called on nil, and
// then do nothing: a part can be used without metrics. All are safe for concurrent
// use.
//
// The package makes no API promise outside this module.
package metrics

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "wxsidecar"

// Metrics is a registry of the sidecar's metrics.
type Metrics struct {
	registry  *prometheus.Registry
	app       appMetrics
	broker    brokerMetrics
	push      pushMetrics
	outbox    *outboxMetrics
	authorize authorizeMetrics
	family    *familyMetrics
	caller    callerMetrics
	limits    *limits
	inflight  *inflight
	reload    reloadMetrics
	shared    sharedMetrics
}

// New returns metrics in a registry of their own, with Go's runtime and the
// process beside them. version is shown by wxsidecar_build_info.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info",
		Help: "Always 1; the labels say which version runs and which Go built it.",
	}, []string{"version", "goversion"})
	info.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(info)
	m.app = newAppMetrics(m.registry)
	m.broker = newBrokerMetrics(m.registry)
	m.push = newPushMetrics(m.registry)
	m.outbox = newOutboxMetrics(m.registry)
	m.authorize = newAuthorizeMetrics(m.registry)
	m.family, m.caller = newFamilyMetrics(m.registry), newCallerMetrics(m.registry)
	m.limits, m.inflight, m.reload = newLimits(), newInflight(), newReloadMetrics(m.registry)
	m.registry.MustRegister(m.limits, m.inflight)
	m.shared = newSharedMetrics(m.registry)
	m.touchKnown()
	return m
}

// Handler serves the metrics to Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Gatherer returns the registry, for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

func newCounter(r *prometheus.Registry, name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	r.MustRegister(c)
	return c
}

func newGauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

// setBool has g show 1 for on and 0 for off.
func setBool(g prometheus.Gauge, on bool) {
	v := 0.0
	if on {
		v = 1
	}
	g.Set(v)
}
