package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// faults collects what is wrong with a form.
type faults []string

func (f *faults) want(ok bool, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

// faultsOf decodes the manifests of a form and returns what is wrong with them.
func faultsOf(texts map[string]string, files []string, secrets map[string][]string) faults {
	var f faults
	o := newObjects()
	for _, file := range files {
		if err := o.decode([]byte(texts[file])); err != nil {
			return faults{fmt.Sprintf("%s: %v", file, err)}
		}
	}
	for _, w := range o.workloads {
		f.labels(w)
		f.pod(w)
		f.volumes(o, w, secrets)
		for _, c := range w.containers() {
			f.container(w, c)
			f.probes(w, c)
		}
		if w.sidecar() != nil {
			f.settings(o, w)
		}
	}
	f.services(o)
	f.budgets(o)
	f.ingresses(o)
	f.policies(o)
	return f
}

// Everything that is applied together fits together.
func TestManifests(t *testing.T) {
	secrets := secretKeys(t)
	for name, files := range forms {
		for _, fault := range faultsOf(read(t, files), files, secrets) {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

func isSidecar(c core.Container) bool { return strings.Contains(c.Image, "/wxsidecar:") }

func selects(s *meta.LabelSelector, pod map[string]string) bool {
	selector, err := meta.LabelSelectorAsSelector(s)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(pod))
}

// selected returns the workloads whose pods a selector takes.
func (o *objects) selected(s *meta.LabelSelector) []workload {
	var found []workload
	for _, w := range o.workloads {
		if selects(s, w.pod.Labels) {
			found = append(found, w)
		}
	}
	return found
}

// port returns the container port that a pod has under a name or a number.
func (w workload) port(name string, number int32) int32 {
	for _, c := range w.containers() {
		for _, p := range c.Ports {
			if p.ContainerPort == number || name != "" && p.Name == name {
				return p.ContainerPort
			}
		}
	}
	return 0
}

func (f *faults) labels(w workload) {
	f.want(w.selector == nil || selects(w.selector, w.pod.Labels), "%s: its selector does not take its own pods", w.name)
	for _, spread := range w.pod.Spec.TopologySpreadConstraints {
		f.want(selects(spread.LabelSelector, w.pod.Labels), "%s: it spreads other pods than its own", w.name)
	}
	if c := w.sidecar(); c != nil && w.selector != nil {
		f.want(w.pod.Annotations["prometheus.io/scrape"] == "true" && w.pod.Annotations["prometheus.io/port"] == fmt.Sprint(w.port("metrics", 0)),
			"%s: Prometheus does not find the port metrics", w.name)
	}
}

func (f *faults) services(o *objects) {
	for _, s := range o.services {
		pods := o.selected(&meta.LabelSelector{MatchLabels: s.Spec.Selector})
		f.want(len(pods) > 0, "Service %s selects no pod", s.Name)
		for _, p := range s.Spec.Ports {
			for _, w := range pods {
				f.want(w.port(p.TargetPort.StrVal, p.TargetPort.IntVal) != 0, "Service %s: the pods of %s have no port %s", s.Name, w.name, p.TargetPort.String())
			}
			push := p.TargetPort.StrVal == "push"
			f.want(s.Spec.PublishNotReadyAddresses == push, "Service %s: only pushes go to pods that are not ready", s.Name)
		}
	}
}

func (f *faults) budgets(o *objects) {
	for _, b := range o.budgets {
		pods := o.selected(b.Spec.Selector)
		f.want(len(pods) == 1 && pods[0].replicas > 1, "PodDisruptionBudget %s: it holds up every drain, or nothing", b.Name)
	}
}

func (f *faults) ingresses(o *objects) {
	for _, i := range o.ingresses {
		for _, rule := range i.Spec.Rules {
			f.want(slices.ContainsFunc(i.Spec.TLS, func(tls networking.IngressTLS) bool { return slices.Contains(tls.Hosts, rule.Host) }), "Ingress %s: no TLS for %s", i.Name, rule.Host)
			for _, path := range rule.HTTP.Paths {
				f.want(path.Path == "/wechat/", "Ingress %s: it opens %s to the Internet", i.Name, path.Path)
				to := path.Backend.Service
				f.want(slices.ContainsFunc(o.services, func(s core.Service) bool {
					return s.Name == to.Name && slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool {
						return p.Name == to.Port.Name && p.TargetPort.StrVal == "push"
					})
				}), "Ingress %s: there is no Service %s for pushes with a port %s", i.Name, to.Name, to.Port.Name)
			}
		}
	}
}
